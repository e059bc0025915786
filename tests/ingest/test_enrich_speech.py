"""What is said in films is heard once by each model, and belongs to the moments in which it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from films import Making, film, photos

from mmsearch.errors import ImageError, ModelError
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.enrich.speech import Speech, Whisper
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.library.library import Library
from mmsearch.media.subtitles import Cue
from mmsearch.types import IndexReport

pytest.importorskip("av")


class Heard:
    """Hears what it is told to, and knows what it was given."""

    def __init__(self, engine: str, *cues: Cue) -> None:
        self.engine, self.cues = engine, list(cues)
        self.given: list[tuple[str, int]] = []

    def transcribe(self, file: BinaryIO, path: str) -> list[Cue]:
        self.given.append((Path(path).name, len(file.read())))
        if not self.cues:
            raise ImageError(path, "its sound cannot be heard")
        return self.cues


@pytest.fixture
def folder(library: Library, tmp_path: Path) -> Path:
    """A film with sound, a copy of it, and one without."""
    place = tmp_path / "films"
    place.mkdir()
    spoken = film(photos()[:3], Making(sound=6.0))
    for name, content in {"a.mp4": spoken, "copy.mp4": spoken, "silent.mp4": film(photos()[3:5])}.items():
        (place / name).write_bytes(content)
    library.index(place)
    return place


def listen(library: Library, folder: Path, transcriber: Heard) -> IndexReport:
    model = library.store.model()
    assert model is not None
    context = IngestContext(library.store, model, library.encoder(), [str(folder)])
    return enrich(Speech(context, transcriber), library.store, Options(), IndexReport())


def said(library: Library, folder: Path) -> list[str]:
    model = library.store.model()
    assert model is not None
    (one,) = (content_hash for file, content_hash in library.store.hashed() if file.path == str(folder / "a.mp4"))
    return [part.text for part in library.store.parts_of(one, model)]


def test_words_belong_to_the_moments_in_which_they_are_said(library: Library, folder: Path) -> None:
    first = Heard("first", Cue(500, 1500, "hello world"), Cue(1800, 2500, "both of them"), Cue(4500, 5000, "the end"))
    report = listen(library, folder, first)
    assert report.enriched["speech"] == 1
    assert first.given == [("a.mp4", (folder / "a.mp4").stat().st_size)]
    assert said(library, folder) == ["hello world\nboth of them", "both of them", "the end"]
    model = library.store.model()
    assert model is not None
    (hit,) = library.store.find_words("hello world", model, exact=True)
    files = [Path(photo.path).name for photo in library.store.photos([hit.number])[hit.number]]
    assert files == ["a.mp4", "copy.mp4"]
    # Nothing is heard twice, and another model is believed in the place of the first.
    assert listen(library, folder, first).enriched["speech"] == 0
    second = Heard("second", Cue(2500, 3000, "only this"))
    assert listen(library, folder, second).enriched["speech"] == 1
    assert said(library, folder) == ["", "only this", ""]
    assert library.verify(deep=True) == []


def test_speech_stands_beside_what_subtitles_say(library: Library, folder: Path) -> None:
    (folder / "a.srt").write_text("1\n00:00:00,100 --> 00:00:01,000\nwritten\n")
    library.index(folder)
    listen(library, folder, Heard("first", Cue(500, 1500, "spoken")))
    assert said(library, folder)[0].split("\n") == ["written", "spoken"]


def test_a_film_whose_sound_cannot_be_heard_is_not_tried_again(
    library: Library, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = Heard("deaf")
    listen(library, folder, deaf)
    listen(library, folder, deaf)
    assert len(deaf.given) == 1
    assert caplog.messages == [f"{folder / 'a.mp4'}: its sound cannot be heard"]


def test_a_film_that_is_gone_is_left_alone(library: Library, folder: Path) -> None:
    for name in ("a.mp4", "copy.mp4"):
        (folder / name).unlink()
    other = Heard("first", Cue(0, 500, "hello"))
    assert listen(library, folder, other).enriched["speech"] == 0
    assert other.given == []


def test_a_folder_without_a_model_is_said_before_any_work(library: Library, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model for speech: wanted is a folder"):
        Whisper(str(tmp_path))
    library.settings = replace(library.settings, speech=str(tmp_path / "none"))
    (folder / "new.mp4").write_bytes(film(photos()[4:6]))
    with pytest.raises(ModelError, match="none holds no model"):
        library.index(folder)
    assert library.status().photos == 3
