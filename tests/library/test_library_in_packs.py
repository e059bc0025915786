"""A library in PostgreSQL whose region tokens are in packs answers as one in a folder, and mends what it lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from object_server import Asked, Fault, between, object_server, use
from packed import bucket_place, folder_place
from postgres_server import forget, url_of
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

BYTES = 5 * 4018  # the tokens of five photos
QUESTION = "a man with a camera"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path)
    forget(tmp_path)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, reranker="auto")


def reranked(library: Library) -> list[tuple[str, float]]:
    return [(hit.path, round(hit.score or 0, 5)) for hit in library.search(QUESTION, rerank=True)]


def packs(folder: Path) -> list[Path]:
    return sorted((folder / "blobs").glob("library-*/*.pack"))


def test_it_answers_as_one_in_a_folder_and_mends_itself(
    url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    packed = replace(settings, blobs=folder_place(tmp_path))
    with (
        open_library(settings.library, settings=settings, encoder=encoder) as plain,
        open_library(url, settings=packed, encoder=encoder) as library,
    ):
        for each in (plain, library):
            assert each.index(photos).added == 5
        assert reranked(library) == reranked(plain)
        status = library.status()
        assert (status.blobs, status.regions) == (packed.blobs, 5)
        assert status.bytes > sum(pack.stat().st_size for pack in packs(tmp_path)) == BYTES
        for each, name in ((plain, "plain"), (library, "packed")):
            each.export(tmp_path / name)
        tokens = [np.load(tmp_path / name / "regions.npy") for name in ("plain", "packed")]
        np.testing.assert_array_equal(*tokens)
        assert library.verify(deep=True) == []

        for pack in packs(tmp_path):
            pack.unlink()
        found = library.search(QUESTION, rerank=True)
        assert [note.code for note in found.notes] == ["tokens-unreachable"]
        assert "which held region tokens of the library; once these are forgotten by a repair" in found.notes[0]
        assert [hit.path for hit in found] == [hit.path for hit in library.search(QUESTION, rerank=False)]
        assert [(one.kind, one.count) for one in library.verify()] == [("missing tokens", 5)]
        done = library.repair()
        assert ([one.kind for one in done.mended], done.left) == (["missing tokens"], ())
        assert library.status().regions == 0
        library.index()
        assert (library.status().regions, library.verify(deep=True)) == (5, [])
        assert reranked(library) == reranked(plain)


def test_an_import_puts_its_tokens_into_packs(
    url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    with open_library(settings.library, settings=settings, encoder=encoder) as plain:
        plain.index(photos)
        plain.export(tmp_path / "exported")
        before = reranked(plain)
    with open_library(url, settings=replace(settings, blobs=folder_place(tmp_path)), encoder=encoder) as library:
        library.import_from(tmp_path / "exported")
        assert sum(pack.stat().st_size for pack in packs(tmp_path)) == BYTES
        assert reranked(library) == before
        library.import_from(tmp_path / "exported")  # all is known
        assert sum(pack.stat().st_size for pack in packs(tmp_path)) == BYTES


@pytest.mark.parametrize("good", [0, 1, 2])
def test_an_index_run_whose_upload_fails_goes_on_with_the_same_command(
    good: int, url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The store refuses all uploads after the first ``good`` packs, in the middle of a run."""
    uploads: list[str] = []
    broken = True

    def fault(asked: Asked) -> Fault | None:
        if asked.method == "PUT" and asked.path.endswith(".pack"):
            uploads.append(asked.path)
            if broken and len(uploads) > good:
                return Fault(403, "AccessDenied")
        return None

    packed = replace(settings, blobs=bucket_place(tmp_path), batch=2)
    with between(fault) as proxy:
        use(monkeypatch, proxy.url)
        with open_library(url, settings=packed, encoder=encoder) as library:
            with pytest.raises(LibraryError) as error:
                library.index(photos)
            assert error.value.code == "blobs-unreachable"
            assert library.store.counts().photos == library.status().regions == 2 * good
            assert library.verify(deep=True) == []
            broken = False
            report = library.index(photos)
            assert (report.added, report.unchanged) == (5 - 2 * good, 2 * good)
            assert (library.status().regions, library.verify(deep=True)) == (5, [])
            assert library.store.tidy_blobs(age=0).missing == 0
            assert len(reranked(library)) == 5


def test_commands_name_the_place_by_a_file(
    mmsearch: CLI, url: str, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_server().environment().items():
        monkeypatch.setenv(name, value)
    place = bucket_place(tmp_path)
    file = tmp_path / "mmsearch.toml"
    file.write_text(f'metadata = "{url}"\nvectors = "memory"\nblobs = "{place}"\n', "utf-8")
    mmsearch("index", photos / "trips", "--library", file)
    status = json.loads(mmsearch("status", "--json", "--library", file).stdout)
    assert (status["blobs"], status["regions"], status["index_kind"]) == (place, 2, "exact")
    assert f"at {place}" in mmsearch("status", "--library", url).stdout
    assert f"region tokens are at {place}" in mmsearch("doctor", "--no-speed", "--library", file).stdout
    file.write_text(f'metadata = "{url}"\nblobs = "file:elsewhere"\n', "utf-8")
    said = mmsearch("query", "a cat", "--library", file, check=1).stderr
    assert place in said
    assert f"file://{tmp_path}/elsewhere" in said


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_machines_share_their_thumbnails(
    url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:  # fmt: skip
    use(monkeypatch)
    place = folder_place(tmp_path) if where == "folder" else bucket_place(tmp_path)
    own = [replace(settings, blobs=place, cache=tmp_path / name) for name in ("one", "other", "third")]
    with (
        open_library(url, settings=own[0], encoder=encoder) as one,
        open_library(url, settings=own[1], encoder=encoder) as other,
        open_library(url, settings=replace(own[2], thumbnails=0), encoder=encoder) as third,
    ):
        one.index(photos)
        photo = one.get(photos / "cat.png")
        assert photo is not None
        made = one.thumbnail(photo, 160)
        (photos / "cat.png").unlink()
        assert other.thumbnail(photo, 160) == made
        assert not other.thumbnail(photo, 160).rough
        assert third.thumbnail(photo, 160).rough  # it keeps none, and looks for none
        assert other.store.tidy_blobs(age=0).deleted == 0  # they are no packs


@pytest.mark.parametrize("what", ["damaged", "refused"])
def test_thumbnails_are_made_where_the_shared_ones_are_of_no_use(
    url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:  # fmt: skip
    asked: list[str] = []

    def fault(request: Asked) -> Fault | None:
        if "/thumbnails-" not in request.path:
            return None
        asked.append(request.method)
        if request.method == "GET":
            return Fault(cut=20) if what == "damaged" else Fault(403, "AccessDenied")
        return Fault(403, "AccessDenied") if what == "refused" else None

    with between(fault) as proxy:
        use(monkeypatch, proxy.url)
        packed = replace(settings, blobs=bucket_place(tmp_path))
        with open_library(url, settings=packed, encoder=encoder) as library:
            library.index(photos)
            for name in ("cat.png", "cameraman.png", "grass.png"):
                photo = library.get(photos / name)
                assert photo is not None
                assert not library.thumbnail(photo, 160).rough
            again = library.get(photos / "trips" / "rocket.jpg")
            assert again is not None
            before = len(asked)
            assert not library.thumbnail(again, 160).rough
            if what == "refused":  # three times in a row: it is left alone
                assert len(asked) == before


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_search_does_without_tokens_that_cannot_be_read(
    url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:  # fmt: skip
    gate = threading.Event()
    faults = {"refuses": Fault(403, "AccessDenied"), "is silent": Fault(gate=gate)}
    away: list[Fault] = []
    with between(lambda asked: away[0] if away else None) as store:
        use(monkeypatch, store.url)
        packed = replace(settings, blobs=bucket_place(tmp_path), search_timeout=4.0)
        with open_library(url, settings=packed, encoder=encoder) as library:
            library.index(photos)
            assert [note.code for note in library.search(QUESTION, rerank=True).notes] == []
            away.append(faults[how])
            found = library.search(QUESTION, rerank=True)
            assert [(note.code, len(found)) for note in found.notes] == [("tokens-unreachable", 5)]
            assert found.unreachable == {"tokens"}
            (state,) = [one for one in library.status().engines if one.part == "tokens"]
            assert (state.name, state.reachable) == (packed.blobs, False)
            gate.set()
            away.clear()
            assert library.search(QUESTION, rerank=True).unreachable == set()
