"""Films and documents on their way in: frames become moments, each an item; several models have the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image
from samples import SAMPLES
from told_films import Reader, photo, told

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.ingest import pipeline
from mmsearch.ingest.enrich import registry
from mmsearch.ingest.enrich.ocr import OcrTexts
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.media.decode import decode
from mmsearch.media.filesystem import open_regular
from mmsearch.store.open import open_store
from mmsearch.store.protocol import Store
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Damaged, Film, IndexReport, Pixels, Progress, Regions, Skipped, Vectors

OPTIONS = Options(batch=4, decoders=2)
CAT, COFFEE, ROCKET = "chelsea.png", "coffee.png", "rocket.jpg"


class Shelf:
    """A store, an encoder, and a folder that is indexed with a reader of told films."""

    def __init__(self, folder: Path, store: Store, encoder: OnnxEncoder) -> None:
        self.folder, self.store, self.encoder, self.reader = folder, store, encoder, Reader()
        self.steps: list[Progress] = []
        self.model = self.add(encoder)

    def add(self, encoder: OnnxEncoder, active: bool = True) -> StoredModel:
        card = encoder.card
        with self.store.writing() as writer:
            return writer.add_model(card.name, card.fingerprint, card.dim, active)

    def context(self, options: Options = OPTIONS) -> IngestContext:
        tokens = None if (card := self.encoder.card.regions) is None else TokenModel(self.encoder, self.model, card)
        return IngestContext(
            self.store, self.model, self.encoder, [str(self.folder)], options, self.steps.append, tokens, self.reader
        )

    def index(self, **options: object) -> IndexReport:
        return pipeline.run(self.context(replace(OPTIONS, **options)))  # type: ignore[arg-type]

    def parts(self, path: Path) -> list[StoredPart]:
        (one,) = (content_hash for file, content_hash in self.store.hashed() if file.path == str(path))
        return self.store.parts_of(one, self.model)

    def vectors(self, path: Path) -> Vectors:
        return self.store.vectors(np.array([part.vector for part in self.parts(path)]), self.model.dim)

    def alone(self, name: str) -> Vectors:
        """The vector of a photo."""
        vector: Vectors = self.encoder.encode_images(photo(name, self.encoder.card.preprocess)[None])[0]
        return vector


@pytest.fixture
def shelf(tmp_path: Path, encoder: OnnxEncoder) -> Iterator[Shelf]:
    folder = tmp_path / "films"
    folder.mkdir()
    (tmp_path / "library").mkdir()
    with open_store(tmp_path / "library") as store:
        yield Shelf(folder, store, encoder)


def without_ids(parts: list[StoredPart]) -> list[StoredPart]:
    return [replace(part, item=0, vector=0) for part in parts]


def test_frames_that_show_the_same_become_a_moment(shelf: Shelf) -> None:
    film = told(
        shelf.folder / "film.png", f"0 {CAT} 0 a cat", f"2 {CAT} 1 purrs", f"4 {COFFEE}", f"6 {CAT}", f"8 {ROCKET}",
        f"10 {ROCKET} 1 three", f"12 {ROCKET} 0 two", "14 end",
    )  # fmt: skip
    report = shelf.index()
    assert (report.added, report.encoded, report.moments, report.pages, report.folded) == (1, 4, 4, 0, 3)
    parts = shelf.parts(film)
    assert [(part.part, part.start_ms, part.end_ms, part.text) for part in parts] == [
        (0, 0, 4000, "a cat\npurrs"), (1, 4000, 6000, ""), (2, 6000, 8000, ""), (3, 8000, 14000, "three\ntwo"),
    ]  # fmt: skip
    assert [
        part.at_ms in times for part, times in zip(parts, ((0, 2000), (4000,), (6000,), (8000, 12000)), strict=True)
    ] == [True] * 4
    # The vectors are those of the frames that stand for the moments, and these are real ones.
    for vector, part in zip(shelf.vectors(film), parts, strict=True):
        name = {0: CAT, 1: COFFEE, 2: CAT, 3: ROCKET}[part.part]
        assert (
            vector @ shelf.alone(name) > 0.97
            if part.part in (0, 3)
            else vector @ shelf.alone(name) == pytest.approx(1, abs=1e-3)
        )
    (found,) = shelf.store.photos([parts[2].vector])[parts[2].vector]
    assert (found.path, found.film) == (str(film), Film(14000, 25.0, "h264", True))


def test_the_kept_frame_is_the_one_nearest_to_the_mean(shelf: Shelf) -> None:
    film = told(shelf.folder / "film.png", *(f"{2 * n} {CAT} {moved}" for n, moved in enumerate((0, 1, 2))), "6 end")
    shelf.index()
    preprocess = shelf.encoder.card.preprocess
    frames = shelf.encoder.encode_images(
        np.stack([np.roll(photo(CAT, preprocess), round(preprocess.size * n / 100), axis=1) for n in range(3)])
    )
    best = int(np.argmax(frames @ frames.mean(axis=0)))
    (photo_like,) = shelf.store.searchable(shelf.model)  # one moment is one item
    np.testing.assert_allclose(shelf.store.vectors(np.array([photo_like]), shelf.model.dim)[0], frames[best], atol=2e-3)
    assert film.exists()


def test_pages_are_never_folded(shelf: Shelf) -> None:
    document = told(shelf.folder / "letter.png", f"0 {CAT} 0 first", f"0 {CAT} 0 second", f"0 {CAT}", kind="pages")
    report = shelf.index()
    assert (report.added, report.encoded, report.moments, report.pages, report.folded) == (1, 3, 0, 3, 0)
    assert without_ids(shelf.parts(document)) == [
        StoredPart(0, 0, 0, text="first"), StoredPart(0, 1, 0, text="second"), StoredPart(0, 2, 0),
    ]  # fmt: skip
    assert report.folded == 0


def test_report_and_progress_count_files(shelf: Shelf) -> None:
    for number in range(3):
        told(shelf.folder / f"film{number}.png", f"{number} {CAT}", f"4 {COFFEE}", f"8 {ROCKET}", "9 end")
    (shelf.folder / "photo.png").write_bytes((SAMPLES / COFFEE).read_bytes())
    told(shelf.folder / "broken.png")
    report = shelf.index()
    assert (report.added, report.encoded, report.moments) == (4, 10, 9)
    assert report.skipped == (Skipped(str(shelf.folder / "broken.png"), "no frame of it can be decoded"),)
    assert [(step.done, step.total) for step in shelf.steps] == [(n, 5) for n in range(1, 6)]
    again = shelf.index()
    assert (again.unchanged, again.encoded, again.moments) == (4, 0, 0)


def test_a_film_that_cannot_be_read_to_its_end_is_damaged(shelf: Shelf) -> None:
    film = told(shelf.folder / "film.png", f"0 {CAT}", f"4 {COFFEE}", "8 damaged")
    report = shelf.index()
    assert report.damaged == (Damaged(str(film), "the rest could not be read"),)
    assert shelf.store.damaged() == list(report.damaged)
    assert len(shelf.parts(film)) == 2


def test_copies_are_one_content(shelf: Shelf) -> None:
    lines = f"0 {CAT}", f"4 {COFFEE}", "8 end"
    one, copy = (told(shelf.folder / name, *lines) for name in ("film.png", "copy.png"))
    report = shelf.index()
    assert (report.added, report.moments) == (2, 2)
    assert shelf.parts(one) == shelf.parts(copy)


def test_a_film_that_moves_is_not_read_into_items_again(shelf: Shelf) -> None:
    film = told(shelf.folder / "film.png", f"0 {CAT}", f"4 {COFFEE}", "8 end")
    shelf.index()
    before = shelf.parts(film)
    moved = film.rename(shelf.folder / "moved.png")
    report = shelf.index()
    assert (report.moved, report.encoded, len(shelf.reader.read)) == (1, 0, 1)
    assert shelf.parts(moved) == before
    moved.rename(shelf.folder.parent / "away.png")
    (shelf.folder / "photo.png").write_bytes((SAMPLES / COFFEE).read_bytes())
    assert shelf.index().removed == 1
    (shelf.folder.parent / "away.png").rename(moved)
    assert (shelf.index().restored, shelf.parts(moved)) == (1, before)


class Watched(OnnxEncoder):
    """Knows how many pictures it was given at once."""

    given: list[int]

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        self.given.append(len(pixels))
        return super().encode_pictures(pixels)


def test_a_long_film_is_encoded_in_pieces(shelf: Shelf, tmp_path: Path) -> None:
    watched = Watched(shelf.encoder.folder)
    watched.given = []
    shelf.encoder = watched
    told(shelf.folder / "film.png", *(f"{n} {(CAT, COFFEE)[n % 2]}" for n in range(11)), "11 end")
    report = shelf.index()
    assert (report.moments, watched.given) == (11, [4, 4, 3])


def test_another_model_has_vectors_of_the_same_frames(shelf: Shelf, region_encoder: OnnxEncoder) -> None:
    lines = f"0 {CAT}", f"2 {CAT} 1", f"4 {COFFEE}", f"6 {ROCKET}", "8 end"
    film = told(shelf.folder / "film.png", *lines)
    shelf.index()
    own = shelf.parts(film)
    first, shelf.model, shelf.encoder = shelf.model, shelf.add(region_encoder, active=False), region_encoder
    assert shelf.store.pending_vectors(shelf.model) == 1

    # The reader of a later version takes other frames, and one more.
    class Later(Reader):
        def __call__(self, *given: object) -> object:  # type: ignore[override]
            picture = super().__call__(*given)  # type: ignore[arg-type]
            late = [replace(part, at_ms=(part.at_ms or 0) + 300) for part in picture.parts]
            return replace(picture, parts=(*late, replace(late[-1], at_ms=7900)))

    shelf.reader = Later()
    report = shelf.index()
    assert (report.moments, report.folded, shelf.store.pending_vectors(shelf.model)) == (3, 0, 0)
    parts = shelf.parts(film)
    assert [replace(part, vector=0) for part in parts] == [replace(part, vector=0) for part in own]
    for vector, name in zip(shelf.vectors(film)[1:], (COFFEE, ROCKET), strict=True):
        assert vector @ shelf.alone(name) == pytest.approx(1, abs=2e-3)
    assert [one.lacking for one in shelf.store.kept_models()] == [0, 0]
    assert first != shelf.model


def test_a_part_that_lost_its_vector_is_read_again(shelf: Shelf) -> None:
    film = told(shelf.folder / "film.png", f"0 {CAT}", f"2 {COFFEE}", f"4 {ROCKET}", "8 end")
    shelf.index()
    before = shelf.parts(film)
    lose(shelf.store, before[1].vector)
    assert [(one.kind, one.count) for one in shelf.store.damages(None)] == [("no vector of a part", 1)]
    assert shelf.store.pending_vectors(shelf.model) == 1
    shelf.store.mend(None)
    report = shelf.index()
    assert (report.moments, shelf.store.damages(None)) == (3, [])
    after = shelf.parts(film)
    assert [part.item for part in after] == [part.item for part in before]
    assert [a.vector == b.vector for a, b in zip(after, before, strict=True)] == [True, False, True]


def lose(store: Store, vector: int) -> None:
    """Take a vector out, as ``repair`` does with a damaged one."""
    import sqlite3

    with sqlite3.connect(store.folder / "library.sqlite") as connection:
        connection.execute("DELETE FROM embeddings WHERE id = ?", (vector,))
    connection.close()


def test_tokens_of_a_film_are_made_with_one_reading(shelf: Shelf, region_encoder: OnnxEncoder) -> None:
    shelf.model, shelf.encoder = shelf.add(region_encoder), region_encoder
    film = told(shelf.folder / "film.png", f"0 {CAT}", f"2 {COFFEE}", f"4 {ROCKET}", "8 end")
    told(shelf.folder / "pages.png", f"0 {CAT}", f"0 {ROCKET}", kind="pages")
    report = shelf.index(regions=False)
    assert report.encoded == 5
    shelf.reader.read.clear()
    context = shelf.context()
    card = region_encoder.card.regions
    assert card is not None
    (tokens,) = (one for one in registry.chosen(context) if one.name == "regions")
    report = enrich(tokens, shelf.store, context.options, report)
    assert (report.regions, sorted(shelf.reader.read)) == (5, [str(film), str(shelf.folder / "pages.png")])
    made, there = shelf.store.regions(np.array([part.vector for part in shelf.parts(film)]), shelf.model, card)
    assert there.all()
    whole = region_encoder.encode_pictures(
        np.stack([photo(n, region_encoder.card.preprocess) for n in (CAT, COFFEE, ROCKET)])
    )[1]
    assert whole is not None
    steps = np.abs(whole).max(axis=2, keepdims=True) / 127
    assert (np.abs(made - whole) <= 0.55 * steps).all()
    assert shelf.store.pending_regions(shelf.model, card, [str(shelf.folder)]) == []


def test_a_film_of_one_moment_stays_one_with_another_model(shelf: Shelf, region_encoder: OnnxEncoder) -> None:
    film = told(shelf.folder / "film.png", f"0 {CAT}", f"2 {CAT} 1", "4 end")
    shelf.index()
    (own,) = shelf.parts(film)
    shelf.model, shelf.encoder = shelf.add(region_encoder, active=False), region_encoder
    shelf.index()
    (other,) = shelf.parts(film)
    assert replace(other, vector=own.vector) == own


def test_text_is_read_in_the_frames_of_moments_with_one_opening(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of text is a stand-in: it says how light a picture is."""
    pytest.importorskip("av")
    levels = [20, 60, 100, 140, 180, 220]
    film = grey_film(shelf.folder / "film.mp4", levels)
    (shelf.folder / "photo.png").write_bytes((SAMPLES / COFFEE).read_bytes())
    context = replace(shelf.context(), decoder=decode)
    report = pipeline.run(context)
    parts = shelf.parts(film)
    assert len(parts) == len(levels)
    texts = OcrTexts(context, Lightness())  # type: ignore[arg-type]
    opened: list[str] = []

    def noted(path: str) -> BinaryIO:
        opened.append(path)
        return open_regular(path)

    monkeypatch.setattr("mmsearch.ingest.read.open_regular", noted)
    report = enrich(texts, shelf.store, context.options, report)
    assert (report.texts, report.with_text) == (len(levels) + 1, len(levels) + 1)
    assert opened == [str(film), str(shelf.folder / "photo.png")]
    found = shelf.store.photos([part.vector for part in parts])
    said = [int(found[part.vector][0].text or 0) for part in parts]
    np.testing.assert_allclose(said, levels, atol=3)


class Lightness:
    """Reads how light a picture is."""

    engine = "lightness"

    def read(self, image: Image.Image) -> str:
        return str(round(float(np.asarray(image).mean())))


def grey_film(path: Path, levels: list[int]) -> Path:
    """Two seconds of each grey, with a pattern of its own: a hash sees nothing in plain grey."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 10
        for number, level in enumerate(levels):
            bars = np.random.default_rng(number).integers(-20, 21, (6, 8)).repeat(20, 0).repeat(20, 1)
            frame = np.repeat((level + bars - bars.mean())[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
            for _ in range(10):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode())
    return path
