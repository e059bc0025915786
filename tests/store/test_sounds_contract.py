"""Audio files as every ``Store`` has them: items with words and times, and without vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mmsearch.encoders.protocol import RegionCard
from mmsearch.media.subtitles import Cue
from mmsearch.query.files import parse
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel, StoredSound
from mmsearch.types import Decoded, Exif, Film, Found, Part

NOTHING = np.zeros((0, 0, 3), np.uint8)
BLACK = np.zeros((1, 1, 3), np.uint8)
CARD = RegionCard(2, 3, "projection")
PHOTO = Decoded(BLACK, 40, 30, "jpeg", Exif())
FILM = Decoded(
    BLACK, 640, 360, "mp4", Exif(),
    parts=(Part(BLACK, 0, 2000, 500, "hello"), Part(BLACK, 2000, 5000, 2000), Part(BLACK, 5000, 9000, 7000, "goodbye")),
    film=Film(9000, 25.0, "h264", True),
)  # fmt: skip
VECTORS = np.eye(3, 4, dtype=np.float32)
SONG = Decoded(
    NOTHING, 0, 0, "mp3", Exif(), description="A title",
    parts=(Part(NOTHING, 1000, 4000, 1000, "sunny morning"), Part(NOTHING, 83_000, 85_000, 83_000, "purple giraffe")),
    film=Film(200_000, None, "mp3", True),
)  # fmt: skip
WORDLESS = replace(SONG, parts=(Part(NOTHING, 0, 200_000, 0),))


def add_model(store: Store) -> StoredModel:
    with store.writing() as writer:
        return writer.add_model("m", "abc", 4, active=True)


def put(store: Store, model: StoredModel, path: str) -> None:
    with store.writing() as writer:
        writer.place(Found(path, 10, 5), writer.put_parts(b"film", FILM, VECTORS, model))


def put_photo(store: Store, model: StoredModel, path: str) -> None:
    with store.writing() as writer:
        writer.place(Found(path, 10, 5), writer.put(path.encode(), PHOTO, VECTORS[0], model))


def put_sound(store: Store, model: StoredModel, path: str, sound: Decoded = SONG, content: bytes = b"") -> None:
    with store.writing() as writer:
        vectors = np.zeros((len(sound.parts), 0), np.float32)
        writer.place(Found(path, 10, 5), writer.put_parts(content or path.encode(), sound, vectors, model))


def states(store: Store) -> dict[str, str]:
    return {path: sound.state for path, sound in store.sounds(["/"]).items()}


def wrong(store: Store) -> set[str]:
    """What does not hold, but for what these tests make up: hashes and folders."""
    return {damage.kind for damage in store.damages(CARD, deep=True)} - {"wrong hash", "no root"}


def found(store: Store, model: StoredModel, text: str) -> list[str]:
    hits = [hit.number for hit in store.find_words(text, model)]
    return sorted(photo.path for own in store.photos(hits).values() for photo in own)


def asked(store: Store, model: StoredModel, text: str) -> list[str]:
    ids = store.searchable(model, conditions=parse([text]).conditions)
    return sorted({photo.path for own in store.photos(ids.tolist()).values() for photo in own})


def test_a_sound_has_ids_and_no_vectors(store: Store) -> None:
    model = add_model(store)
    put_photo(store, model, "/photo")
    assert store.without_vectors(model).tolist() == []
    put_sound(store, model, "/song.mp3")
    photo, *song = store.searchable(model).tolist()
    assert store.without_vectors(model).tolist() == song
    np.testing.assert_array_equal(store.vectors(np.array([song[1], photo]), 4), [[0, 0, 0, 0], [1, 0, 0, 0]])
    (known,) = store.photos(song)[song[1]]
    assert (known.path, known.is_sound, known.film, known.width) == ("/song.mp3", True, SONG.film, 0)
    assert [(one.start_ms, one.end_ms, one.text) for one in store.parts([song[1]], model)[song[1]]] == [
        (1000, 4000, "sunny morning"), (83_000, 85_000, "purple giraffe"),
    ]  # fmt: skip
    assert store.parts_of(b"/song.mp3", model) == store.parts(song, model)[song[0]]
    assert store.firsts(np.array([song[1], photo]), model).tolist() == [song[0], photo]  # type: ignore[union-attr]
    assert (wrong(store), store.pending_vectors(model)) == (set(), 0)
    assert store.of_model(np.array(song), model).tolist() == song


def test_only_vectors_are_counted(store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/song.mp3")
    assert [(kept.model, kept.vectors, kept.lacking) for kept in store.kept_models()] == [(model, 0, 0)]
    put_photo(store, model, "/photo")
    assert [kept.vectors for kept in store.kept_models()] == [1]


def test_words_and_conditions_find_it(store: Store) -> None:
    model = add_model(store)
    put_photo(store, model, "/photo")
    put(store, model, "/film")
    put_sound(store, model, "/song.mp3")
    assert found(store, model, "purple giraffe") == found(store, model, "title") == ["/song.mp3"]
    assert asked(store, model, "type:audio") == asked(store, model, "type:mp3") == ["/song.mp3"]
    assert (asked(store, model, "type:video"), asked(store, model, "type:photo")) == (["/film"], ["/photo"])
    assert asked(store, model, "type:document") == []
    assert asked(store, model, "length:>3min") == asked(store, model, "codec:mp3") == ["/song.mp3"]
    assert asked(store, model, "at:1:20..1:30") == ["/song.mp3"]
    assert store.facets(model).values["type"] == [("jpeg", 1), ("mp3", 1), ("mp4", 1)]
    told = store.summary()
    assert (told.films, told.moments, told.documents, told.sounds) == (1, 3, 0, 1)
    assert told.megapixels == 0.0
    assert told.sound_hours == pytest.approx(200 / 3600)
    first = store.listed(model, None, "name", False, 10)
    assert [store.photos([number])[number][0].path for number in first] == ["/film", "/photo", "/song.mp3"]


def test_one_moment_is_a_time_too(store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/song.mp3", replace(SONG, parts=SONG.parts[1:]))
    (number,) = store.searchable(model).tolist()
    assert [one.start_ms for one in store.parts([number], model)[number]] == [83_000]


def test_without_words_it_is_known_and_cannot_be_found(store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/song.mp3", WORDLESS)
    assert states(store) == {"/song.mp3": "wordless"}
    assert (found(store, model, "song"), store.searchable(model).tolist(), store.counts().photos) == ([], [], 0)
    assert [state.path for state in store.sidecar_states(["/"])] == ["/song.mp3"]
    with store.writing() as writer:
        writer.put_sound_words(b"/song.mp3", "beside", [Cue(83_000, 85_000, "purple giraffe")])
    assert (states(store), found(store, model, "giraffe")) == ({"/song.mp3": "ok"}, ["/song.mp3"])
    with store.writing() as writer:
        writer.put_sound_words(b"/song.mp3", "beside", [])
    assert (states(store), found(store, model, "giraffe")) == ({"/song.mp3": "wordless"}, [])
    (photo,) = store.sounds(["/"]).values()
    for change in ("touch", "move", "miss"):
        with store.writing() as writer:
            if change == "touch":
                writer.touch(photo.id, Found("/song.mp3", 10, 6))
            elif change == "move":
                writer.move(photo.id, Found("/moved.mp3", 10, 6))
            else:
                writer.miss([photo.id])
        assert list(states(store).values()) == ["missing" if change == "miss" else "wordless"]
    assert store.sounds(["/"]) == {"/moved.mp3": StoredSound(photo.id, "missing", photo.content)}
    assert store.sounds(["/elsewhere"]) == store.sounds([]) == {}
    assert wrong(store) == set()


def test_words_of_several_sources_are_parts_together(store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/song.mp3")
    with store.writing() as writer:
        other = writer.add_model("n", "def", 4, active=False)
        vectors = np.zeros((2, 0), np.float32)
        writer.put_parts(b"/song.mp3", SONG, vectors, other)
        writer.put_sound_words(b"/song.mp3", "speech", [Cue(2000, 3000, "heard"), Cue(40_000, 41_000, "whistling")])
    before = store.parts_of(b"/song.mp3", model)
    assert [(one.start_ms, one.end_ms, one.text) for one in before] == [
        (1000, 4000, "sunny morning\nheard"), (40_000, 41_000, "whistling"), (83_000, 85_000, "purple giraffe"),
    ]  # fmt: skip
    assert [one.item for one in store.parts_of(b"/song.mp3", other)] == [one.item for one in before]
    assert found(store, model, "whistling") == ["/song.mp3"]
    generation = store.generation()
    with store.writing() as writer:  # the same again
        writer.put_sound_words(b"/song.mp3", "speech", [Cue(2000, 3000, "heard"), Cue(40_000, 41_000, "whistling")])
    assert (store.parts_of(b"/song.mp3", model), store.generation()) == (before, generation)
    with store.writing() as writer:
        writer.put_sound_words(b"/song.mp3", "speech", [])
        writer.put_sound_words(b"none", "speech", [Cue(0, 1, "nobody")])
        writer.put_sound_words(b"/photo", "speech", [Cue(0, 1, "nobody")])
    assert [one.text for one in store.parts_of(b"/song.mp3", model)] == ["sunny morning", "purple giraffe"]
    assert not {one.vector for one in before} & {one.vector for one in store.parts_of(b"/song.mp3", model)}


def test_nothing_of_pictures_is_pending(store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/a.mp3")
    put_sound(store, model, "/b.mp3", WORDLESS)
    put(store, model, "/film")
    roots = ["/"]
    assert {one.files[0].path for one in store.pending_regions(model, CARD, roots)} == {"/film"}
    assert {one.files[0].path for one in store.pending_text("ocr", roots)} == {"/film"}
    assert {one.path for one in store.pending_tags(model, "words")} == {"/film"}
    assert store.pending_captions(model, CARD, "r", roots) == []
    assert store.pending_metadata(model, roots) == []
    speech = store.pending_speech("whisper", roots)
    assert sorted(one.files[0].path for one in speech) == ["/a.mp3", "/b.mp3", "/film"]
    with store.writing() as writer:
        for one in speech:
            writer.put_speech(one.content, "whisper", {})
    assert store.pending_speech("whisper", roots) == []


def test_sounds_are_exported_and_taken(open_store: Callable[[], Store], store: Store) -> None:
    model = add_model(store)
    put_sound(store, model, "/song.mp3")
    put_sound(store, model, "/wordless.mp3", WORDLESS)
    with store.export_rows(model) as exported:
        (block,) = exported.blocks()
    assert block.vectors == [b"", b""]
    rows = [row for _, row in block.files]
    assert [(row.file.path, row.part, row.part_words, row.is_sound) for row in rows] == [
        ("/song.mp3", 0, {"inside": "sunny morning"}, True), ("/song.mp3", 1, {"inside": "purple giraffe"}, True),
    ]  # fmt: skip
    with store.writing() as writer:
        writer.remove("/")
        writer.sweep()
        for row in rows:
            writer.put_export_row(row, np.zeros(4, np.float32), None, None, model)
    assert found(store, model, "giraffe") == ["/song.mp3"]
    assert len(store.without_vectors(model)) == 2
    assert wrong(store) == set()


def test_a_film_whose_first_vector_is_lost_is_found_and_looked_after(store: Store) -> None:
    """Rows are deleted as a broken library might have lost them; ``verify`` says so, and until then all else works."""
    model = add_model(store)
    put_photo(store, model, "/photo")
    put(store, model, "/film")
    photo, first, second, third = store.searchable(model).tolist()
    _forget(store, first)
    assert store.firsts(np.array([third, photo]), model).tolist() == [second, photo]  # type: ignore[union-attr]
    (hit,) = store.find_words("goodbye", model)
    assert hit.number == second
    (allowed,) = store.find_words("goodbye", model, np.array([second, third]))
    assert allowed.number == second
    assert [one.file.path for one in store.duplicate_candidates(model)] == ["/film", "/photo"]
    assert [one.files[0].path for one in store.pending_speech("whisper", ["/"])] == ["/film"]
    assert (FILM.film, store.photos([second])[second][0].film) == (FILM.film, FILM.film)


def _forget(store: Store, vector: int) -> None:
    """Take a vector out, past the store."""
    with store._engine.begin() as connection:  # type: ignore[attr-defined]  # of both drivers
        connection.exec_driver_sql(f"DELETE FROM embeddings WHERE id = {vector}")
        if store.capabilities.integrity_rules is False:
            connection.exec_driver_sql("UPDATE properties SET value = (value::bigint + 1)::text WHERE name = 'changes'")
