"""Films in a library, from files made with PyAV: subtitles, copies, export, backup, care; a film stays one file."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import RATE, Making, Shot, encoded, film, photo, photos
from PIL import Image

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ArgumentError
from mmsearch.library.arguments import parsed
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.model import Order
from mmsearch.store.sqlite.backup import restore
from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Decoded, Exif, Found, Part, Photo, Pixels

ASTRONAUT, COFFEE, CAT, ROCKET, GALAXY, TISSUE = range(6)
STORY = (ASTRONAUT, COFFEE, CAT, ROCKET)
SRT = "1\n00:00:00,500 --> 00:00:01,500\nHello from orbit\n\n2\n00:00:04,200 --> 00:00:05,000\nMiaow\n"


def shots(*numbers: int, size: tuple[int, int] = (160, 120)) -> list[Shot]:
    return [Shot(photos(size)[number]) for number in numbers]


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """Films by name: a story, and others made of it."""
    return {
        "story.mp4": film(shots(*STORY)),
        "other.mp4": film(shots(GALAXY, TISSUE)),
        "small.mp4": film(shots(*STORY, size=(112, 84)), Making(options={"crf": "30"})),
        "again.mkv": film(shots(*STORY), Making("hevc mp4")),
        "cut.mp4": film(shots(CAT, ROCKET)),
        "mixed.mp4": film(shots(CAT, GALAXY, COFFEE)),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "films"
    place.mkdir()
    return place


def put(folder: Path, made: dict[str, bytes], *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(made[name])


def active(library: Library) -> StoredModel:
    stored = library.store.model()
    assert stored is not None
    return stored


def parts(library: Library, path: Path) -> list[StoredPart]:
    (one,) = (content_hash for file, content_hash in library.store.hashed() if file.path == str(path))
    return library.store.parts_of(one, active(library))


def told(library: Library, path: Path) -> list[str]:
    return [part.text for part in parts(library, path)]


def test_subtitles_belong_to_moments_for_as_long_as_they_are_there(
    library: Library, folder: Path, made: dict[str, bytes]
) -> None:
    put(folder, made, "story.mp4", "other.mp4")
    beside = folder / "story.en.srt"
    beside.write_text(SRT)
    report = library.index(folder)
    assert (report.added, report.moments, report.sidecars) == (2, 6, 1)
    story = folder / "story.mp4"
    assert told(library, story) == ["Hello from orbit", "", "Miaow", ""]
    (found,) = library.store.find_words("hello from orbit", active(library), exact=True)
    assert [one.path for one in library.store.photos([found.number])[found.number]] == [str(story)]
    assert library.index(folder).sidecars == 0
    beside.write_text(SRT.replace("Miaow", "Meow"))
    assert (library.index(folder).sidecars, told(library, story)) == (1, ["Hello from orbit", "", "Meow", ""])
    # Another film of this name: what is said belongs to its moments.
    story.write_bytes(made["again.mkv"])
    assert (library.index(folder).sidecars, told(library, story)) == (1, ["Hello from orbit", "", "Meow", ""])
    beside.unlink()
    library.index(folder)
    assert told(library, story) == ["", "", "", ""]
    assert library.store.find_words("hello from orbit", active(library), exact=True) == []


def everything(library: Library) -> dict[str, list[object]]:
    """What SQLite holds of films, without ids."""
    of_item = "JOIN items ON items.id = item_id JOIN contents ON contents.id = content_id"
    queries = {
        "contents": "SELECT hash, width, height, format, duration_ms, fps, codec, audio, dhash FROM contents",
        "items": "SELECT hash, part, start_ms, end_ms, at_ms FROM items JOIN contents ON contents.id = content_id",
        "vectors": f"SELECT hash, part, vector FROM embeddings {of_item}",
        "tokens": f"SELECT hash, part, data FROM regions {of_item}",
        "words of parts": f"SELECT hash, part, source, part_texts.text FROM part_texts {of_item}",
        "captions": f"SELECT hash, part, captions.text FROM captions {of_item}",
        "photos": "SELECT path, state, hash FROM photos JOIN contents ON contents.id = content_id",
        "words": "SELECT path, name, description, caption, ocr, tags FROM words JOIN photos ON photos.id = words.rowid",
    }
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection:
        return {name: sorted(connection.execute(query).fetchall(), key=repr) for name, query in queries.items()}


@pytest.fixture
def rich(library: Library, folder: Path, made: dict[str, bytes]) -> Library:
    """A film with words of all kinds, a copy of it, another film and a photo."""
    put(folder, made, "story.mp4", "other.mp4")
    (folder / "copy.mp4").write_bytes(made["story.mp4"])
    (folder / "story.srt").write_text(SRT)
    Image.fromarray(photos()[GALAXY]).save(folder / "photo.png")
    library.index(folder)
    with library.store.writing() as writer:
        for part in parts(library, folder / "story.mp4"):
            writer.put_caption(part.item, "a reranker", f"caption {part.part}", 0.5)
            writer.put_text(part.item, "an engine", f"sign {part.part}")
    return library


def test_an_export_has_a_row_for_each_moment_and_comes_back(
    rich: Library, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    report = rich.export(tmp_path / "export")
    assert (report.files, report.vectors) == (4, 7)
    with open_library(tmp_path / "other", settings=settings, encoder=encoder) as other:
        done = other.import_from(tmp_path / "export")
        assert (done.added, done.known) == (4, 0)
        assert everything(other) == everything(rich)
        assert other.verify(deep=True) == []
        assert other.import_from(tmp_path / "export").known == 4
        assert everything(other) == everything(rich)
        again = other.index()
        assert (again.encoded, again.unchanged, again.facts, again.sidecars) == (0, 4, 0, 0)


def test_an_import_that_is_broken_off_has_whole_films(
    rich: Library, settings: Settings, encoder: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich.export(tmp_path / "export")
    monkeypatch.setattr("mmsearch.manage.import_vectors.BATCH", 1)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with open_library(tmp_path / "other", settings=settings, encoder=encoder) as other:
        with pytest.raises(KeyboardInterrupt):
            other.import_from(tmp_path / "export", progress=interrupt)
        assert other.verify() == []
        assert other.status().photos == 1
        assert (other.import_from(tmp_path / "export").added, everything(other)) == (3, everything(rich))


def test_an_export_without_films_is_read_by_earlier_versions(library: Library, photos: Path, tmp_path: Path) -> None:
    import json

    library.index(photos)
    library.export(tmp_path / "export")
    assert json.loads((tmp_path / "export" / "model.json").read_text())["format"] == 1


def test_a_backup_has_the_moments(rich: Library, settings: Settings, encoder: OnnxEncoder, tmp_path: Path) -> None:
    rich.backup(tmp_path / "saved")
    restore(tmp_path / "saved", tmp_path / "restored")
    with open_library(tmp_path / "restored", settings=settings, encoder=encoder) as restored:
        assert everything(restored) == everything(rich)
        assert restored.verify(deep=True) == []


def test_a_film_is_one_file_wherever_files_are_told(rich: Library, folder: Path) -> None:
    store, model = rich.store, active(rich)
    story, copy, other, photo = (folder / name for name in ("story.mp4", "copy.mp4", "other.mp4", "photo.png"))
    assert rich.status().photos == 4
    assert [Path(one.file.path).name for one in store.duplicate_candidates(model)] == [
        "copy.mp4", "other.mp4", "photo.png", "story.mp4",
    ]  # fmt: skip
    by_path = {one.path: one for numbers in store.photos(store.searchable(model).tolist()).values() for one in numbers}
    assert set(by_path) == {str(one) for one in (story, copy, other, photo)}
    ids = [one.id for one in by_path.values()]
    assert {one.path for one in store.photos_by_id(ids, model).values()} == set(by_path)
    assert store.facets(model).files == 4
    assert dict(store.facets(model).values["type"]) == {"mp4": 3, "png": 1}
    assert len(store.overview(model).ids) == 4
    order: Order = "name"
    listed = store.photos(store.listed(model, None, order, False, 10))
    assert [one.path for own in listed.values() for one in own] == [str(one) for one in (copy, story, other, photo)]
    assert len(store.listed(model, None, order, False, 2)) == 2
    assert store.tag_counts() == {}
    hits = rich.search("size:>0", k=10)
    assert sorted(hit.path for hit in hits) == sorted(by_path)


def test_a_removed_film_leaves_nothing(rich: Library, folder: Path) -> None:
    assert (rich.losses([folder / "story.mp4"]).captions, rich.losses([folder]).captions) == (0, 1)
    assert rich.remove([folder / "story.mp4", folder / "copy.mp4"]) == 2
    assert rich.verify(deep=True) == []
    left = everything(rich)
    assert (len(left["items"]), left["words of parts"], left["captions"]) == (3, [], [])
    assert rich.index(folder).moments == 4


def test_a_lost_vector_of_a_moment_is_found_and_made_again(rich: Library, folder: Path) -> None:
    story = folder / "story.mp4"
    before = parts(rich, story)
    with closing(sqlite3.connect(rich.folder / "library.sqlite")) as connection, connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(4) WHERE id = ?", (before[2].vector,))
    assert [one.kind for one in rich.verify()] == ["wrong vector"]
    assert [one.kind for one in rich.repair().mended] == ["wrong vector"]
    report = rich.index(folder)
    assert (report.moments, rich.verify()) == (4, [])
    after = parts(rich, story)
    assert [replace(one, vector=0) for one in after] == [replace(one, vector=0) for one in before]
    assert after[2].vector not in {one.vector for one in before}


def test_a_film_whose_first_vector_is_lost_is_still_found_by_its_id(rich: Library, folder: Path) -> None:
    store, model, story = rich.store, active(rich), folder / "story.mp4"
    (film,) = (one for one in rich.search("size:>0", k=10) if one.path == str(story))
    with closing(sqlite3.connect(rich.folder / "library.sqlite")) as connection, connection:
        first = "SELECT content_id FROM photos WHERE path = CAST(? AS BLOB)"
        lost = f"item_id IN (SELECT id FROM items WHERE part = 0 AND content_id = ({first}))"
        connection.execute(f"DELETE FROM embeddings WHERE {lost}", (str(story),))
    assert [one.path for one in store.photos_by_id([film.photo.id], model).values()] == [str(story)]
    (folder / "story.png").write_bytes((folder / "photo.png").read_bytes())
    assert [one.path for one in store.beside([str(story.with_suffix(".png"))])[str(story.with_suffix(".png"))]] == [
        str(story)
    ]


def test_films_that_show_the_same_are_a_group(library: Library, folder: Path, made: dict[str, bytes]) -> None:
    put(folder, made, *made)
    library.index(folder)
    (group,) = library.duplicates()
    assert group.keep.path in (str(folder / "story.mp4"), str(folder / "again.mkv"))
    assert {Path(one.path).name for one in (group.keep, *group.others)} == {
        "story.mp4", "again.mkv", "small.mp4", "cut.mp4",
    }  # fmt: skip
    assert set(group.levels) == {"near"}
    (burst,) = library.duplicates("burst")
    assert burst == group
    assert library.duplicates("exact") == []


def test_a_film_and_a_photo_in_it_are_no_duplicates(rich: Library, folder: Path) -> None:
    (group,) = rich.duplicates()
    assert (group.level, {Path(one.path).name for one in (group.keep, *group.others)}) == (
        "exact", {"story.mp4", "copy.mp4"},
    )  # fmt: skip


def test_films_of_one_camera_at_different_times_are_no_duplicates(library: Library, folder: Path) -> None:
    """A fixed camera: the same room, and somebody in it in one of the films."""
    room = photos()[COFFEE]
    visited = room.copy()
    visited[30:100, 60:95] = photos()[ASTRONAUT][30:100, 60:95]
    (folder / "empty.mp4").write_bytes(film([Shot(room, 6)]))
    (folder / "visited.mp4").write_bytes(film([Shot(visited, 6)]))
    library.index(folder)
    assert library.duplicates() == []


def pan(name: str, top: int = 150, seconds: float = 8.0, speed: int = 60) -> list[Pixels]:
    """Frames of a camera that goes along a photo, ``speed`` pixels a second, and back."""
    whole, span = photo(name, (640, 480)), 640 - 160
    places = (round(speed * number / RATE) % (2 * span) for number in range(round(seconds * RATE)))
    return [whole[top : top + 120, left : left + 160] for left in (min(at, 2 * span - at) for at in places)]


def test_a_piece_of_a_fast_pan_lies_where_none_of_its_moments_begins(library: Library, folder: Path) -> None:
    """It is one moment, 2.6 s into the film, whose moments begin at 2 and 4 s."""
    piece = slice(round(2.6 * RATE), round(5 * RATE))
    (folder / "pan.mp4").write_bytes(encoded(pan("coffee")))
    (folder / "cut.mp4").write_bytes(encoded(pan("coffee")[piece], Making(options={"crf": "28"})))
    (folder / "other.mp4").write_bytes(encoded(pan("astronaut")[piece]))
    (folder / "lower.mp4").write_bytes(encoded(pan("coffee", top=300)[piece]))
    library.index(folder)
    starts = [part.start_ms or 0 for part in parts(library, folder / "pan.mp4")]
    assert len(parts(library, folder / "cut.mp4")) == 1
    assert min(abs(start - 2600) for start in starts) > 400  # else it is found there in any case
    (group,) = library.duplicates()
    assert [Path(one.path).name for one in (group.keep, *group.others)] == ["pan.mp4", "cut.mp4"]


def test_vectors_of_moments_are_in_the_index(rich: Library, folder: Path) -> None:
    hits = rich.search("a cat", k=1, rerank=False)
    assert hits[0].path in (str(folder / "story.mp4"), str(folder / "copy.mp4"))
    assert hits[0].moments[0].part == 2
    numbers = np.array([part.vector for part in parts(rich, folder / "story.mp4")])
    assert np.isin(numbers, rich.vectors.snapshot().index.ids()).all()


def test_status_tells_of_films_and_documents(rich: Library, folder: Path) -> None:
    pages = [Image.fromarray(one) for one in photos()[:3]]
    pages[0].save(folder / "scan.tif", save_all=True, append_images=pages[1:])
    report = rich.index(folder)
    assert (report.added, report.pages, report.moments) == (1, 3, 0)
    told = rich.status().summary
    assert (told.films, told.moments, told.documents, told.pages) == (3, 10, 1, 3)
    assert told.hours == pytest.approx((8 + 8 + 4) / 3600, rel=0.02)


def test_a_thumbnail_shows_the_moment_or_page_that_is_asked_for(rich: Library, folder: Path) -> None:
    pages = [Image.fromarray(one) for one in photos()[:3]]
    pages[0].save(folder / "scan.tif", save_all=True, append_images=pages[1:])
    rich.index(folder)

    def nearest(photo: Photo, **place: int) -> int:
        shown = Image.open(io.BytesIO(rich.thumbnail(photo, 160, **place).content)).convert("RGB").resize((160, 120))
        return int(np.argmin([np.abs(np.asarray(shown, np.float32) - one).mean() for one in photos()]))

    story, scan, photo = (rich.get(folder / name) for name in ("story.mp4", "scan.tif", "photo.png"))
    assert story is not None
    assert scan is not None
    assert photo is not None
    assert [nearest(story, part=part) for part in range(4)] == list(STORY)
    assert [nearest(story, at_ms=at) for at in (500, 3000, 7900)] == [ASTRONAUT, COFFEE, ROCKET]
    assert [nearest(scan, part=part) for part in range(3)] == [0, 1, 2]
    assert nearest(photo, part=0) == nearest(photo) == GALAXY
    for wrong in ({"part": 4}, {"at_ms": 8_500}, {"part": -1}):
        with pytest.raises(ArgumentError):
            rich.thumbnail(story, **wrong)
    with pytest.raises(ArgumentError, match="no film"):
        rich.thumbnail(photo, at_ms=0)
    (folder / "story.mp4").rename(folder.parent / "away.mp4")
    assert nearest(story, part=2) == CAT  # what was kept


def test_a_close_look_at_a_moment(rich: Library, folder: Path, settings: Settings) -> None:
    with open_library(rich.folder, settings=replace(settings, reranker="auto")) as looking:
        look_at_a_moment(looking, folder)


def look_at_a_moment(rich: Library, folder: Path) -> None:
    looker = rich.looker()
    story = rich.get(folder / "story.mp4")
    assert story
    place = rich.place(story, part=2)
    assert place is not None
    assert place.at_ms in range(4000, 6000)
    there = looker.at(place)
    match = {part: looker.at(rich.place(story, part=part)).explain(story.path, "a cat").score for part in range(4)}
    assert match[2] > max(match[0], match[3])
    drawn = there.draw(there.explain(story.path, "a cat"))
    assert drawn.width > 100
    assert there.caption(story.path)[0].text
    tokens = there.tokens(story.path)
    (folder / "story.mp4").rename(folder.parent / "away.mp4")
    np.testing.assert_allclose(there.tokens(story.path), tokens, atol=0.1)  # the stored ones of this moment


def test_subtitles_beside_a_copy_stay(rich: Library, folder: Path) -> None:
    """Copies share their moments: what is beside one of them is said in both."""
    (folder / "copy.srt").write_text(SRT.replace("Miaow", "Purr"))
    rich.index(folder)
    (folder / "story.srt").unlink()
    rich.index(folder)
    assert told(rich, folder / "story.mp4") == ["Hello from orbit", "", "Purr", ""]
    (folder / "copy.srt").unlink()
    rich.index(folder)
    assert told(rich, folder / "story.mp4") == ["", "", "", ""]


def test_a_content_that_was_one_picture_becomes_a_film(rich: Library, folder: Path) -> None:
    """As of vectors that another program made of whole files."""
    store, first = rich.store, active(rich)
    with store.writing() as writer:
        other = writer.add_model("another", "abc", 4, active=False)
        pixels = np.zeros((8, 8, 3), np.uint8)
        content = writer.put(
            b"0123456789abcdef", Decoded(pixels, 8, 8, "mp4", Exif()), np.eye(4, dtype=np.float32)[0], other
        )
        writer.place(Found(str(folder / "vectors.mp4"), 1, 1), content)
        vectors = np.eye(2, first.dim, dtype=np.float32)
        moments = (Part(pixels, 0, 2000, 500), Part(pixels, 2000, 4000, 2500))
        writer.put_parts(b"0123456789abcdef", Decoded(pixels, 8, 8, "mp4", Exif(), parts=moments), vectors, first)
    assert [(one.start_ms, one.end_ms, one.at_ms) for one in store.parts_of(b"0123456789abcdef", first)] == [
        (0, 2000, 500), (2000, 4000, 2500),
    ]  # fmt: skip
    assert store.kept_models()[1].lacking == 5


def test_facets_count_a_film_once(rich: Library, folder: Path) -> None:
    with rich.store.writing() as writer:
        writer.put_tags("words", {part.item: {"cat": 0.9} for part in parts(rich, folder / "story.mp4")})
    assert dict(rich.store.facets(active(rich)).values["tag"]) == {"cat": 2}  # the film and its copy
    assert rich.tags() == {"cat": 2}
    ids = rich.store.searchable(active(rich), (), parsed("tag:cat", ()).conditions)
    assert len(ids) == 4
