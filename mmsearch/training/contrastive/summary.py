"""What a contrastive run leaves for people: a plot and a model card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmsearch.training.contrastive.recipe import Recipe


def plot(events: list[dict[str, Any]], file: Path) -> None:
    """Loss by step and dev recall by epoch, as a PNG; imports matplotlib, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [event for event in events if event["event"] == "step"]
    left.plot([event["step"] for event in steps], [event["loss"] for event in steps], color="tab:blue", linewidth=1)
    left.set(xlabel="step", ylabel="training loss", title="Loss")
    epochs = [event for event in events if event["event"] == "epoch" and event.get("dev")]
    for cutoff in ("R@1", "R@5", "R@10"):
        values = [event["dev"]["text_to_image"][cutoff] for event in epochs]
        right.plot([event["epoch"] for event in epochs], values, marker="o", markersize=3, label=cutoff)
    if epochs:
        right.legend(frameon=False)
    else:
        right.text(0.5, 0.5, "no dev photos", transform=right.transAxes, ha="center")
    right.set(xlabel="epoch (0: before training)", ylabel="% found", title="Text to image on dev", ylim=(0, 100))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def model_card(facts: dict[str, Any], recipe: Recipe) -> str:
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
        for title, key in (("text to image", "text_to_image"), ("image to text", "image_to_text")):
            before, after = facts["before"][key], facts["after"][key]
            cells = [f"{before[name]:.2f} -> {after[name]:.2f}" for name in ("R@1", "R@5", "R@10", "MRR")]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    else:
        lines.append("None: the run had no dev photos.")
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
