"""A file that became a pipe or a link to an endless device: nothing waits for it, and one sentence says so."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from files_that_change import KINDS, at_once, become

from mmsearch import config
from mmsearch.config import Settings
from mmsearch.encoders.export.model_folder import read as read_model_folder
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import MMSearchError
from mmsearch.evaluation.evaluate import read_texts
from mmsearch.indexes.manifest import IndexCache
from mmsearch.ingest.read import read_file
from mmsearch.language import vocabulary
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.manage import import_vectors
from mmsearch.media.decode import decode
from mmsearch.media.thumbnails import thumbnail
from mmsearch.media.worker_pool import Decoders
from mmsearch.query.model import Example, Query
from mmsearch.rerank.card import RerankCard
from mmsearch.search import querybank
from mmsearch.search.calibration import Calibration
from mmsearch.search.presence import Presence
from mmsearch.search.text_adapter import TextAdapter
from mmsearch.training.common import pairs
from mmsearch.types import Found, Photo

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there are no such files"),
    pytest.mark.parametrize("kind", KINDS),
]
SAID = "no regular file"


@pytest.fixture(autouse=True)
def models() -> None:
    """Each test loads its own."""


def test_photo(kind: str, photos: Path, encoder: OnnxEncoder) -> None:
    file = photos / "cat.png"
    found = Found(str(file), file.stat().st_size, file.stat().st_mtime_ns)
    large = replace(found, size=2**30)
    photo = Photo(str(file), 451, 300, "PNG", found.size, found.mtime_ns)
    become(file, kind)
    with at_once(), Decoders(1) as decoders:
        preprocess = encoder.card.preprocess
        for one in (found, large):
            for decoder in (decode, decoders.decode):
                read = read_file(one, lambda content_hash: True, preprocess, 200, decoder)
                assert (read.picture, read.retry, SAID in str(read.failure)) == (None, True, True)
        said = thumbnail(photo, 100, 200)
        assert isinstance(said, str)
        assert SAID in said


def test_library_whose_photos_changed(kind: str, photos: Path, library: Library) -> None:
    shutil.copy(photos / "cat.png", photos / "copy.png")
    library.index(photos)
    become(photos / "cat.png", kind)
    with at_once():
        assert library.search(Query((Example(str(photos / "cat.png")),)), 1)[0].path  # by its stored vector
        library.duplicates()
        library.verify(deep=True)
        library.index()


SIDECARS = ["cat.png.txt", "cat.txt", "cat.xmp", "cat.png.json"]


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecar(kind: str, name: str, photos: Path, library: Library) -> None:
    become(photos / name, kind)
    with at_once():
        assert library.index(photos).added == 5


def _model(folder: Path) -> Path:
    shutil.copytree(EMBEDDED, folder)
    return folder


READERS: dict[str, Callable[[Path], object]] = {
    "vocabulary.tsv": vocabulary.read,
    "questions.tsv": pairs.read_lines,
    "texts.txt": read_texts,
    "config.toml": lambda file: config.load(file, {}),
    "background.npy": querybank.load,
    "presence.npy": lambda file: Presence.read(file.parent, 4),
    "text_adapter.npy": lambda file: TextAdapter.read(file.parent, 4),
    "model.onnx": lambda file: session.load([file]),
    "words.onnx": lambda file: session.load([file, file]),
    "calibration.json": lambda file: Calibration.read(file.parent),
    "reranker.json": lambda file: RerankCard.read(file.parent),
    "model.json": lambda file: read_model_folder(file.parent),
}


@pytest.mark.parametrize("name", READERS)
def test_file_that_is_read_whole(kind: str, name: str, tmp_path: Path) -> None:
    become(tmp_path / name, kind)
    with at_once(), pytest.raises((MMSearchError, OSError), match=rf"{SAID}|missing") as raised:
        READERS[name](tmp_path / name)
    assert name in str(raised.value) or name in str(getattr(raised.value, "filename", ""))


def test_tokenizer(kind: str, tmp_path: Path, encoder: OnnxEncoder) -> None:
    become(tmp_path / "tokenizer.json", kind)
    with at_once(), pytest.raises(OSError, match=SAID):
        TextEncoder.load(tmp_path / "tokenizer.json", encoder.card.tokens)


@pytest.mark.parametrize("name", ["vectors.npy", "photos.csv", "model.json", "regions.npy"])
def test_folder_to_import(kind: str, name: str, photos: Path, library: Library, tmp_path: Path) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    become(tmp_path / "export" / name, kind)
    with at_once(), pytest.raises(MMSearchError, match=SAID):
        import_vectors.look(tmp_path / "export")


def test_moved_duplicates(kind: str, tmp_path: Path) -> None:
    from mmsearch.manage.move_back import undo

    become(tmp_path / "moved.tsv", kind)
    with at_once(), pytest.raises(MMSearchError, match=SAID):
        undo(str(tmp_path))


@pytest.mark.parametrize("ending", [".json", ".f16", ".ids"])
def test_index_file(
    kind: str, ending: str, photos: Path, library: Library, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    wanted = [hit.path for hit in library.search("a cat", 5)]
    library.close()
    for file in (settings.library / "index").glob(f"*{ending}"):
        become(file, kind)
    with at_once(), open_library(settings.library, settings=settings, encoder=encoder) as again:
        assert [hit.path for hit in again.search("a cat", 5)] == wanted
        again.index()
        again.repair()
        assert again.verify() == []


def test_stored_querybank(kind: str, photos: Path, library: Library, settings: Settings, encoder: OnnxEncoder) -> None:
    library.index(photos)
    library.close()
    for file in querybank.bank_files(settings.library):
        become(file, kind)
    with at_once(), open_library(settings.library, settings=settings, encoder=encoder) as again:
        assert len(again.search("a cat", 5)) == 5


def test_foreign_index_file(kind: str, tmp_path: Path) -> None:
    cache = IndexCache(tmp_path, "lib", "abc", 4)
    become(tmp_path / "index-lib-abc-3.json", kind)
    with at_once():
        assert cache.load(9)[1] == -1
        with pytest.raises(MMSearchError, match=SAID):
            cache.newest()
    assert np.array_equal(cache.load(9)[0].ids(), [])
