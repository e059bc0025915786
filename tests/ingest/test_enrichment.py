"""One enrichment more is one class and one registration: batches, Ctrl-C, resume and report come from the runner."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.ingest.enrich import registry
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.enrich.registry import Registration, always, asked, chosen
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.library.library import Library
from mmsearch.store.types import PendingVector
from mmsearch.store.writing import StoreWriter
from mmsearch.types import IndexReport, Progress


class Colours(Enrichment[PendingVector, tuple[PendingVector, str], list[str]]):
    """Tags each picture with the colour that it has most of: the seventh enrichment."""

    name = "colours"
    share = "colour"
    reads = True
    batch = 2
    threads = 1
    fingerprint = "colours 1"

    def __init__(self, context: IngestContext) -> None:
        self._context = context
        self.batches: list[int] = []
        self.computing: set[str] = set()  # names of threads

    def pending(self) -> list[PendingVector]:
        return self._context.store.pending_tags(self._context.model, self.fingerprint, self._context.roots)

    def read(self, item: PendingVector) -> tuple[PendingVector, str]:
        with Image.open(item.path) as image:
            red, green, blue = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
        return item, "reddish" if red > max(green, blue) else "not reddish"

    def compute(self, batch: Sequence[tuple[PendingVector, str]]) -> list[str]:
        self.batches.append(len(batch))
        self.computing.add(threading.current_thread().name)
        return [colour for _, colour in batch]

    def save(self, writer: StoreWriter, batch: Sequence[tuple[PendingVector, str]], result: list[str]) -> int:
        writer.put_tags(self.fingerprint, {item.item: {tag: 1.0} for (item, _), tag in zip(batch, result, strict=True)})
        return len(batch)

    def path(self, job: tuple[PendingVector, str]) -> str:
        return job[0].path


COLOURS = Registration(Colours, Colours, always)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures: two are red, three are not."""
    for number, colour in enumerate(["red", "blue", "green", "maroon", "navy"]):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40 + number), colour).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def context(library: Library, folder: Path) -> IngestContext:
    library.index(folder)
    model = library.store.model()
    assert model is not None
    return IngestContext(library.store, model, library.encoder(), [str(folder)])


def test_it_runs_in_batches_and_the_report_tells_of_it(library: Library, folder: Path, context: IngestContext) -> None:
    [colours] = chosen(context, [COLOURS])
    assert isinstance(colours, Colours)
    seen: list[Progress] = []
    before = IndexReport(unchanged=5, seconds=1.0, shares={"store": 2.0}, enriched={"regions": 3})
    report = enrich(colours, library.store, Options(), before, seen.append)
    assert library.tags() == {"not reddish": 3, "reddish": 2}
    assert colours.batches == [2, 2, 1]
    assert colours.computing == {"mmsearch-encode_0"}  # one batch ahead of what is stored
    assert seen == [Progress(n + 1, 5, str(folder / f"{n}.png"), "colours") for n in range(5)]
    assert (report.enriched, report.regions, report.unchanged) == ({"regions": 3, "colours": 5}, 3, 5)
    assert report.seconds > 1
    assert report.shares["store"] > 2
    assert set(report.shares) == {"read", "colour", "store"}
    assert report.limit in report.shares


def test_ctrl_c_keeps_what_is_stored_and_the_next_run_goes_on(library: Library, context: IngestContext) -> None:
    def interrupt(step: Progress) -> None:
        if step.done == 3:  # of the second batch, which is stored
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrich(Colours(context), library.store, Options(), IndexReport(), interrupt)
    assert sum(library.tags().values()) == 4
    colours = Colours(context)
    assert enrich(colours, library.store, Options(), IndexReport()).enriched == {"colours": 1}
    assert colours.batches == [1]
    assert library.tags() == {"not reddish": 3, "reddish": 2}
    assert enrich(Colours(context), library.store, Options(), IndexReport()).enriched == {"colours": 0}


def test_a_batch_that_cannot_be_stored_leaves_nothing_of_itself(library: Library, context: IngestContext) -> None:
    class Failing(Colours):
        def save(self, writer: StoreWriter, batch: Sequence[tuple[PendingVector, str]], result: list[str]) -> int:
            saved = super().save(writer, batch, result)
            if len(self.batches) > 1 and batch[0][0].item > 2:
                raise OSError("no room")
            return saved

    with pytest.raises(OSError, match="no room"):
        enrich(Failing(context), library.store, Options(), IndexReport())
    assert sum(library.tags().values()) == 2


def test_registering_it_makes_index_runs_do_it(library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "INDEX", (*registry.INDEX, COLOURS))
    report = library.index(folder)
    assert (report.added, report.enriched["colours"]) == (5, 5)
    assert library.tags() == {"not reddish": 3, "reddish": 2}
    assert library.index(folder).enriched["colours"] == 0


def test_what_switches_an_enrichment_on(context: IngestContext) -> None:
    on_demand = [Registration(Colours, Colours, asked("colours"))]
    assert chosen(context, on_demand) == []
    wanted = IngestContext(context.store, context.model, context.encoder, context.roots, Options(asked={"colours"}))
    assert [type(one) for one in chosen(wanted, on_demand)] == [Colours]


def test_every_enrichment_has_a_name_of_its_own() -> None:
    kinds = [*(registration.kind for registration in registry.INDEX), *registry.BY_ITSELF]
    assert [kind.name for kind in kinds] == ["sidecars", "regions", "facts", "captions", "texts", "speech", "tags"]
