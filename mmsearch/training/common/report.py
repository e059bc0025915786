"""What a run leaves for people: a log in JSON Lines, a plot, a model card."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmsearch.errors import TrainingError
from mmsearch.training.contrastive.recipe import Recipe

NEEDED = ("matplotlib", "safetensors")


def check_packages() -> None:
    """Raises TrainingError when a package of the ``train`` extra is missing: better now than after hours."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise TrainingError(f"training needs {' and '.join(absent)}; run: pip install 'mmsearch[train]'")


class Log:
    """``log.jsonl``: an object a line, an ``event`` in each."""

    def __init__(self, file: Path, position: int = 0) -> None:
        """Goes on at byte ``position``; what stands after it, from a run that was killed, is cut off."""
        self.file = file
        with file.open("ab") as out:
            out.truncate(min(position, out.tell()))

    def add(self, event: str, **facts: Any) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"event": event, **facts}) + "\n")

    def position(self) -> int:
        """Bytes so far, all of them on the disk."""
        with self.file.open("ab") as out:
            os.fsync(out.fileno())
            return out.tell()

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text("utf-8").splitlines()]


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
