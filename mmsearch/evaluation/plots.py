"""What ``evaluate`` found as a figure: how often a right answer is among the best k, how far relevance can be trusted.

from mmsearch.evaluation.evaluate import Measures, evaluate, read_captions
from mmsearch.evaluation.plots import Curves, figure

curves = Curves()
measured = Measures(dump=curves.add, reliability=True)
figures = evaluate(encoder, read_captions(file), folder, measured)
figure(curves, {figures["model"]: figures["reliability"]}).savefig("eval.png")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import SourceError
from mmsearch.evaluation import answerable
from mmsearch.evaluation.metrics import bootstrap
from mmsearch.integrations.needed import needed
from mmsearch.media.filesystem import atomic_file
from mmsearch.search.calibration import Calibration
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
DIRECTIONS = {"text_to_image": "captions whose photo is found", "image_to_text": "photos a caption of which is found"}
DEEPEST = 100  # answers that are looked at
POINTS = 25  # of a curve, evenly over the logarithm of k
TEXTS = 500  # captions that reliability is measured by, and about as many short texts
BINS = 10


class Bin(NamedTuple):
    """Queries whose relevance is in one tenth."""

    relevance: float  # mean, in percent
    right: float  # share of those that have an answer, in percent
    queries: int


class Curves:
    """Ranks of right answers, gathered while a model is measured: ``add`` is a ``Measures.dump``."""

    def __init__(self) -> None:
        self._ranks: dict[tuple[str, str], list[int]] = {}  # model and direction -> the rank of each query
        self._photos: dict[tuple[str, str], list[str]] = {}  # … and the photo that it is of

    def add(self, line: dict[str, Any]) -> None:
        """A line of the dump; classes of photos are left out, corrected ranks are a model of their own."""
        direction, model = line["direction"], line["model"]
        if direction not in DIRECTIONS:
            return
        photo = line["right"][0] if direction == "text_to_image" else line["query"]
        for name, key in ((model, "rank"), (f"{model}, corrected", "corrected_rank")):
            if key in line:
                self._ranks.setdefault((name, direction), []).append(line[key])
                self._photos.setdefault((name, direction), []).append(photo)

    def models(self) -> list[str]:
        """Their names, in the order in which they were measured."""
        return list(dict.fromkeys(model for model, _ in self._ranks))

    def recall(self, model: str, direction: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """k (n,), Recall@k in percent (n,), and its 95 % intervals (2, n), low and high; photos are drawn."""
        ranks = np.array(self._ranks[model, direction])
        _, photo = np.unique(self._photos[model, direction], return_inverse=True)
        k = np.unique(np.round(np.geomspace(1, max(1, min(DEEPEST, ranks.max())), POINTS)).astype(int))
        found = (ranks[:, None] <= k).astype(float)  # (queries, n)
        return k, 100 * found.mean(axis=0), 100 * bootstrap(found, photo)


def reliability(encoder: Encoder, captions: Sequence[Sequence[str]], vectors: Vectors) -> list[Bin]:
    """How relevance and truth agree for a model, in tenths of relevance; empty where the captions ask for too little.

    ``captions`` are those of photos with these ``vectors`` (n, dim).  Each text is asked over all photos, and over
    those without its things, where it has no answer (``answerable.asked``); relevance is that of the first stage.
    """
    every = max(1, sum(map(len, captions)) // TEXTS)
    none = np.empty((len(vectors), 0, 0), np.float32)
    scores = answerable.scored(encoder, None, captions, (vectors, none), every)
    if not scores:
        return []
    rows = np.ones(len(scores["short"]), np.bool_)
    calibration = Calibration.of(encoder)
    if calibration is None:
        shares = answerable.general_shares(scores, rows)
    else:
        shares = answerable.own_shares(scores, rows, calibration.first)
    right = np.repeat([True, False], len(rows))
    part = np.minimum((shares * BINS).astype(int), BINS - 1)
    own = [part == number for number in range(BINS) if (part == number).any()]
    return [
        Bin(round(100 * float(shares[one].mean()), 1), round(100 * float(right[one].mean()), 1), int(one.sum()))
        for one in own
    ]


def check(file: Path, force: bool = False) -> None:
    """Raises SourceError for a name that no figure has, and where there is a file; MMSearchError without matplotlib."""
    if file.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{file}: a figure ends in .png, .svg or .pdf")
    if file.exists() and (not force or not file.is_file()):
        raise SourceError(f"{file} exists already; choose another file", code="file-exists")
    if not file.absolute().parent.is_dir():
        raise SourceError(f"{file} cannot be written: there is no folder {file.absolute().parent}")
    needed("matplotlib", "plots", "a figure")


def save(drawn: Figure, file: Path) -> None:
    """Write a figure, whole or not at all; its suffix says as what.  Raises SourceError."""
    try:
        with atomic_file(file) as draft, draft.open("wb") as opened:
            drawn.savefig(opened, format=file.suffix[1:].lower(), dpi=120)
    except OSError as error:
        raise SourceError(f"{file} cannot be written: {error.strerror or error}") from error


def figure(curves: Curves, diagrams: Mapping[str, Sequence[Bin]] | None = None) -> Figure:
    """Recall curves in both directions with 95 % bands, and a reliability diagram where there is one.

    No display is needed.

    ``diagrams`` are what ``reliability`` found, by model.  Raises MMSearchError (``needs-plots``) without matplotlib.
    """
    module = needed("matplotlib.figure", "plots", "a figure")
    shown = {model: bins for model, bins in (diagrams or {}).items() if bins}
    drawn: Figure = module.Figure(figsize=(4.6 * (2 + bool(shown)), 4.2), layout="constrained")
    axes = drawn.subplots(1, 2 + bool(shown))
    for direction, title, place in zip(DIRECTIONS, ("Text to image", "Image to text"), axes, strict=False):
        for model in curves.models():
            k, recall, (low, high) = curves.recall(model, direction)
            (line,) = place.plot(k, recall, marker=".", label=model)
            place.fill_between(k, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
        place.set(
            xscale="log", xlabel="k best answers", ylabel=f"{DIRECTIONS[direction]} (%)", ylim=(0, 101), title=title
        )
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick <= max(2, place.get_xlim()[1])]
        place.set_xticks(ticks, [str(tick) for tick in ticks])
        place.minorticks_off()
        place.grid(alpha=0.3)
    axes[0].legend(frameon=False, loc="lower right")
    if shown:
        _draw_reliability(axes[2], shown)
    return drawn


def _draw_reliability(place: Axes, diagrams: Mapping[str, Sequence[Bin]]) -> None:
    place.plot([0, 100], [0, 100], color="tab:gray", linestyle="--", linewidth=1)
    most = max(one.queries for bins in diagrams.values() for one in bins)
    for model, bins in diagrams.items():
        (line,) = place.plot([one.relevance for one in bins], [one.right for one in bins], label=model)
        sizes = [10 + 90 * one.queries / most for one in bins]  # square points
        place.scatter([one.relevance for one in bins], [one.right for one in bins], sizes, color=line.get_color())
    place.set(xlabel="relevance that is told (%)", ylabel="queries that have an answer (%)", title="Reliability")
    place.set(xlim=(-2, 102), ylim=(-2, 102))
    place.grid(alpha=0.3)
