"""``mmsearch cluster index`` on a real Ray: what is found is what ``mmsearch index`` finds, whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import films
import numpy as np
import pytest
from drawn import captions, draw

from benchmarks import ray_cluster
from mmsearch import config
from mmsearch.cluster import encoding, worker
from mmsearch.cluster.claims import Claims
from mmsearch.cluster.handing_out import Workers
from mmsearch.cluster.indexing import index
from mmsearch.errors import ModelError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.types import IndexReport, Progress

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="nodes are killed"),
    pytest.mark.filterwarnings("ignore"),  # Ray leaves sockets and processes to be closed by others
]

SMALL = Workers(block=5)
ONE = Workers(most=1, block=5)  # to start a worker takes three seconds: there are two where two differ from one
VECTORS = 26  # of 24 photos and two moments; their copies are not encoded


Answers = list[dict[str, tuple[float, list[int | None]]]]


@dataclass(frozen=True)
class Alone:
    """What one process made of the photos."""

    report: IndexReport
    vectors: dict[str, list[list[float]]]
    answers: Answers
    photos: int


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    pytest.importorskip("ray")
    with ray_cluster.cluster() as own:
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
        yield own


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photos, a copy of one by another name, a file that is no picture, and a film of two moments."""
    folder = draw(tmp_path_factory.mktemp("cluster") / "photos")
    shutil.copy(folder / "red_ball.png", folder / "zz_copy.png")
    shutil.copy(folder / "red_ball.png", folder / "aa_copy.png")
    (folder / "broken.png").write_bytes(b"no picture")
    still = films.photos()
    (folder / "clip.mp4").write_bytes(films.film([films.Shot(still[0], 2), films.Shot(still[1], 2)]))
    return folder


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """The same, indexed by one process."""
    with opened(tmp_path_factory.mktemp("cluster") / "alone") as library:
        report = library.index(photos)
        return Alone(report, vectors(library), answers(library), library.status().photos)


def opened(folder: Path) -> Library:
    return open_library(folder, settings=replace(config.Settings(), model="embedded", device="cpu"))


def answers(library: Library) -> Answers:
    """What is found for twelve captions: all files, with scores and moments."""
    asked = [caption for own in captions().values() for caption in own][::4]
    return [
        {hit.path: (hit.score or 0.0, [moment.start_ms for moment in hit.moments]) for hit in library.search(one, k=30)}
        for one in asked
    ]


def check_same(library: Library, alone: Alone) -> None:
    """The library has the files, vectors and answers of the one that one process made."""
    own, wanted = vectors(library), alone.vectors
    assert own.keys() == wanted.keys()
    for path, rows in own.items():  # how many threads add up changes the last digits
        np.testing.assert_allclose(rows, wanted[path], atol=2e-3, err_msg=path)
    for found, right in zip(answers(library), alone.answers, strict=True):
        assert found.keys() == right.keys()
        assert all(abs(score - right[path][0]) < 2e-3 for path, (score, _) in found.items())
        assert all(moments == right[path][1] for path, (_, moments) in found.items())
    assert library.verify(deep=True) == []
    assert library.status().photos == alone.photos


def vectors(library: Library) -> dict[str, list[list[float]]]:
    """Path -> its vectors, in the order of the files' moments."""
    model = library.store.model()
    assert model is not None
    ids = library.store.searchable(model)
    rows = dict(zip(ids.tolist(), library.store.vectors(ids, model.dim), strict=True))
    found: dict[str, list[list[float]]] = {}
    for number, own in sorted(library.store.photos(ids.tolist()).items()):
        for photo in own:
            found.setdefault(photo.path, []).append(rows[number].tolist())
    return found


@pytest.mark.usefixtures("nodes")
def test_what_is_found_is_what_one_process_finds(photos: Path, tmp_path: Path, alone: Alone) -> None:
    with opened(tmp_path / "own") as library:
        seen: list[Progress] = []
        report = index(library, photos, workers=SMALL, progress=seen.append)
        assert (report.added, report.encoded, report.moments) == (alone.report.added, VECTORS, alone.report.moments)
        assert [(one.path, one.reason) for one in report.skipped] == [
            (one.path, one.reason) for one in alone.report.skipped
        ]
        assert [note.code for note in report.notes][-1:] == ["machines"]  # type: ignore[attr-defined]
        pictures = [one for one in seen if one.step == "pictures"]
        assert sorted(one.done for one in pictures) == list(range(1, pictures[-1].total + 1))
        check_same(library, alone)
        again = index(library, photos, workers=SMALL)
        assert (again.added, again.encoded, again.unchanged) == (0, 0, report.added)


class Dying(worker.Worker):
    """Kills its own process at the beginning of a block, the first time that anybody has it."""

    def __init__(self, job: Any, claims: Any, folder: str, blocks: set[int]) -> None:
        super().__init__(job, claims)
        self._folder, self._blocks = folder, blocks

    def encode(self, block: int, files: Any) -> Any:
        if block in self._blocks:
            try:
                os.close(os.open(os.path.join(self._folder, str(block)), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                super().encode(block, files)  # it claims, and does all of its work for nothing
                os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(block, files)


@pytest.mark.usefixtures("nodes")
def test_workers_that_die_cost_nothing(
    photos: Path, tmp_path: Path, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "died").mkdir()
    folder = str(tmp_path / "died")

    class DyingHere(Dying):
        def __init__(self, job: Any, claims: Any) -> None:
            super().__init__(job, claims, folder, {0, 3})

    monkeypatch.setattr(encoding, "Worker", DyingHere)
    with opened(tmp_path / "own") as library:
        report = index(library, photos, workers=SMALL)
        assert sorted(os.listdir(tmp_path / "died")) == ["0", "3"]
        assert (report.added, report.encoded) == (alone.report.added, VECTORS)
        check_same(library, alone)


def test_a_node_that_dies_costs_nothing(nodes: Any, photos: Path, tmp_path: Path, alone: Alone) -> None:
    more = ray_cluster.add_node(nodes)
    killed: list[int] = []

    def kill(done: Progress) -> None:
        if done.step == "pictures" and done.done >= 6 and not killed:
            killed.append(done.done)
            ray_cluster.kill(nodes, more)

    with opened(tmp_path / "own") as library:
        report = index(library, photos, workers=Workers(block=2), progress=kill)
        assert killed
        assert (report.added, report.encoded) == (alone.report.added, VECTORS)
        check_same(library, alone)


class Interrupt(BaseException):
    pass


@pytest.mark.usefixtures("nodes")
def test_what_is_stored_is_not_encoded_again(photos: Path, tmp_path: Path, alone: Alone) -> None:
    def stop(done: Progress) -> None:
        if done.step == "pictures" and done.done >= 12:
            raise Interrupt

    with opened(tmp_path / "own") as library:
        with pytest.raises(Interrupt):
            index(library, photos, workers=replace(ONE, block=3), progress=stop)
        model = library.store.model()
        assert model is not None
        stored = len(library.store.searchable(model))
        assert stored >= 9
        report = index(library, photos, workers=ONE)
        assert report.encoded + stored == VECTORS
        check_same(library, alone)


@pytest.mark.usefixtures("nodes")
def test_a_file_that_kills_every_worker_is_given_up(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "Worker", Killing)
    with opened(tmp_path / "own") as library:
        report = index(library, photos, workers=replace(ONE, block=1))
        given_up = {Path(one.path).name: one.reason for one in report.skipped}
        assert given_up["red_box.png"] == "whoever read it and 0 others went away 3 times"
        assert set(given_up) == {"red_box.png", "broken.png"}
        monkeypatch.undo()
        assert index(library, photos, workers=ONE).added == 1  # it is tried again


class Killing(worker.Worker):
    """Dies whenever it reads one of the files."""

    def encode(self, block: int, files: Any) -> Any:
        produced = worker.produced  # type: ignore[attr-defined]

        def deadly(encoder: Any, options: Any, files: Any, *given: Any, **named: Any) -> Any:
            if any("red_box" in file.path for file in files):
                os.kill(os.getpid(), signal.SIGKILL)
            return produced(encoder, options, files, *given, **named)

        worker.produced = deadly  # type: ignore[attr-defined]
        try:
            return super().encode(block, files)
        finally:
            worker.produced = produced  # type: ignore[attr-defined]


@pytest.mark.usefixtures("nodes")
def test_a_model_that_a_machine_lacks_is_said(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking(worker.Worker):
        def loaded(self) -> Any:
            raise ModelError("no such model here")

    monkeypatch.setattr(encoding, "Worker", Lacking)
    with opened(tmp_path / "own") as library, pytest.raises(ModelError, match="no such model here"):
        index(library, photos, workers=ONE)


def test_claims() -> None:
    claims = Claims([b"known"])
    assert not claims.claim(1, b"known")
    assert claims.claim(1, b"new")
    assert not claims.claim(2, b"new")
    assert claims.claim(1, b"new")
    assert (claims.begin(1), claims.begin(1), claims.begin(2)) == (1, 2, 1)
