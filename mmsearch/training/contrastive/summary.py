"""What a contrastive run leaves for people: a plot and a model card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.evaluation.metrics import Gain
from mmsearch.training.contrastive.companions import Companions
from mmsearch.training.contrastive.recall import Gains
from mmsearch.training.contrastive.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = (("text to image", "text_to_image"), ("image to text", "image_to_text"))
CUTOFFS = ("R@1", "R@5", "R@10")


def plot(events: list[dict[str, Any]], file: Path, kept: int) -> None:
    """What ``figure`` draws, as a PNG."""
    figure(events, kept).savefig(file, dpi=120)


def figure(events: list[dict[str, Any]], kept: int) -> Figure:
    """Loss by step and dev recall by epoch; imports matplotlib, without a display.

    ``events`` are the lines of ``log.jsonl``, ``kept`` the epoch whose weights the model has.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(drawn)
    left, right = drawn.subplots(1, 2)
    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    judged = [event for event in epochs if event.get("dev")]
    few = len(steps) <= 30
    left.plot(
        [event["step"] for event in steps], [event["loss"] for event in steps],
        color="tab:blue", linewidth=1, marker="o" if few else None, markersize=3,
    )  # fmt: skip
    for cutoff in CUTOFFS:
        values = [event["dev"]["text_to_image"][cutoff] for event in judged]
        right.plot([event["epoch"] for event in judged], values, marker="o", markersize=3, label=cutoff)
    last = max([1, *(event["epoch"] for event in epochs)])
    if judged:
        right.axvline(kept, color="tab:gray", linestyle="--", linewidth=1, label=f"kept: epoch {kept}", zorder=0)
        right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    else:
        right.text(0.5, 0.5, "no dev photos:\nthe last epoch is kept", transform=right.transAxes, ha="center")
        right.set_ylim(0, 100)
    left.set(
        xlabel="step", ylabel="training loss", title="Loss", xlim=(0, 1.03 * max([1, *(s["step"] for s in steps)]))
    )
    right.set(xlabel="epoch (0: before training)", ylabel="captions whose photo is found (%)")
    right.set(title="Text to image on dev photos", xlim=(-0.03 * last, 1.03 * last))
    low, high = right.get_ylim()
    right.set_ylim(max(low, -1), min(high, 101))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=2))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, min_n_ticks=3))
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn


def gained(one: Gain) -> str:
    """A gain and its interval, such as "+1.20 (-0.40 to +2.80)"."""
    low, high = one["interval"]
    return f"{one['points']:+.2f} ({low:+.2f} to {high:+.2f})"


def verdict(epoch: int, gain: Gains | None) -> list[str]:
    """What the figures on dev say of the run, in a sentence; nothing where there are none."""
    if gain is None:
        return []
    if epoch == 0:
        return ["no epoch found more on dev than the model did before: it was kept as it was"]
    low, high = gain["text_to_image"]["R@1"]["interval"]
    if low <= 0 <= high:
        return ["the gain in R@1 may be chance: its 95 % interval includes 0; more dev photos would tell"]
    return [f"the gain in R@1 is more than chance on these dev photos: its 95 % interval is {low:+.2f} to {high:+.2f}"]


def beside(companions: Companions, folder: str) -> list[str]:
    """What became of relevance, reranking, answers and captions, a line each."""
    many = f"{companions.dev_photos:,}"
    lines = []
    if companions.reason and companions.relevance == "none":
        lines.append(f"relevance: lost: {companions.reason}")
    elif companions.reason:
        lines.append(f"relevance: that of the base model, moved to the scores of this one: {companions.reason}")
    elif companions.relevance == "fitted":
        lines.append(f"relevance: fitted on {many} dev photos")
    elif companions.relevance == "moved":
        lines.append(
            f"relevance: that of the base model, moved to the scores of this one: to fit it anew "
            f"{companions.needed:,} dev photos are needed, and the run had {many}"
        )
    elif companions.relevance == "copied":
        lines.append("relevance: that of the base model, which was kept as it was")
    if companions.reranker:
        lines.append("reranking, answers and captions: by the reranker of the base model, whose region tokens are kept")
    elif companions.lost:
        lines.append(
            "reranking, answers and captions: lost, because the region tokens are others now; train a reranker with: "
            f"mmsearch train-reranker --model local-dir:{folder} --captions FILE.tsv --images DIR --out DIR"
        )
    return lines


def model_card(facts: dict[str, Any], recipe: Recipe, companions: Companions | None = None) -> str:
    """MODEL_CARD.md from what ``trainer.train`` knows at its end."""
    lines = [
        f"# {facts['base']}, trained further",
        "",
        f"Made by `mmsearch train` {facts['version']}; use it with `--model local-dir:FOLDER`.",
        "",
        "## Data",
        "",
        f"- {facts['photos']:,} photos with {facts['captions']:,} captions to train on",
        f"- {facts['dev_photos']:,} other photos with {facts['dev_captions']:,} captions to choose the epoch by (dev)",
        f"- {facts['skipped']:,} photos left out because they could not be read",
        "",
        "## Figures on dev",
        "",
    ]
    if facts["after"]:
        lines += [
            "Caption retrieval in percent, before -> after training"
            f" (epoch {facts['epoch']} of {facts['epochs_run']} was kept). The epoch was chosen by these figures, so"
            " they flatter the model a little; measure it on photos of your own with `mmsearch eval`.",
            "",
            "| | R@1 | R@5 | R@10 | MRR |",
            "|---|---|---|---|---|",
        ]
        for title, key in DIRECTIONS:
            before, after = facts["before"][key], facts["after"][key]
            cells = [f"{before[name]:.2f} -> {after[name]:.2f}" for name in (*CUTOFFS, "MRR")]
            lines.append(f"| {title} | {' | '.join(cells)} |")
            if facts["gain"] is not None and facts["epoch"]:
                cells = [gained(facts["gain"][key][name]) for name in CUTOFFS]
                lines.append(f"| gain in points (95 % interval) | {' | '.join(cells)} | |")
        said = verdict(facts["epoch"], facts["gain"])
        lines += [
            "",
            "Intervals are those of each caption's difference (paired bootstrap over photos).",
        ]
        lines += [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in said]
    else:
        lines.append("None: the run had no dev photos.")
    if companions is not None:
        lines += ["", "## Beside the weights", ""]
        lines += [f"- {sentence}" for sentence in beside(companions, "FOLDER")]
    lines += ["", "## Recipe", "", f"Base model: `{facts['base']}`. {facts['steps']:,} steps."]
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in asdict(recipe).items()]
    lines += [
        "",
        "## Licence",
        "",
        "As the base model and your pictures: their terms hold for these weights too.",
        "",
    ]
    return "\n".join(lines)
