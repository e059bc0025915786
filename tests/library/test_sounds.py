"""Audio files in a library of real files: indexed, found by their words, moved, looked after, shown."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image
from samples import CLI
from skimage import data
from sounds import folder_of, sound, srt, uslt, with_id3

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import QueryError
from mmsearch.ingest.enrich import speech
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.subtitles import Cue
from mmsearch.types import Hit, IndexReport

pytest.importorskip("av")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A photo, three audio files with words, and two without."""
    place = folder_of(
        tmp_path / "music",
        {
            "tagged.flac": sound(LYRICS="[01:23.00]a purple giraffe\n[01:30.00]nothing else", title="Zoological song"),
            "beside.mp3": sound(".mp3"),
            "beside.mp3.srt": srt((5000, 6000, "an orange walrus"), (83_000, 85_000, "waving goodbye")),
            "untimed.mp3": with_id3(sound(".mp3", hertz=300), uslt("We sing of\nthe turquoise pelican")),
            "silent.wav": sound(".wav", hertz=200),
            "silent.ogg": sound(".ogg", hertz=100),
        },
    )
    Image.fromarray(data.chelsea()).save(place / "cat.png")
    return place


def names(hits: Iterable[Hit]) -> list[str]:
    return [os.path.basename(hit.path) for hit in hits]


def said(report: IndexReport) -> str:
    return "; ".join(report.notes)


def best(hits: Iterable[Hit]) -> tuple[str, list[float]]:
    first = next(iter(hits))
    return os.path.basename(first.path), [(moment.start_ms or 0) / 1000 for moment in first.moments]


def test_what_has_words_is_found_at_its_times(library: Library, music: Path) -> None:
    report = library.index(music)
    assert (report.added, report.encoded, report.skipped) == (4, 1, ())
    assert said(report) == "2 audio files without words were passed over"
    assert best(library.search("purple giraffe", rerank=False)) == ("tagged.flac", [83.0])
    assert best(library.search("waving goodbye", rerank=False)) == ("beside.mp3", [83.0])
    assert best(library.search("turquoise pelican", rerank=False)) == ("untimed.mp3", [0.0])
    assert best(library.search('words:"orange walrus"')) == ("beside.mp3", [5.0])
    assert names(library.search("zoological", rerank=False))[0] == "tagged.flac"
    assert names(library.search("type:audio", k=9)) == names(library.search("length:<1min", k=9))
    assert sorted(names(library.search("type:audio", k=9))) == ["beside.mp3", "tagged.flac", "untimed.mp3"]
    assert names(library.search("a cat", rerank=False)) == ["cat.png"]  # they are like no picture
    assert names(library.search("a cat -walrus", rerank=False)) == ["cat.png"]
    assert sorted(names(library.search("type:audio -giraffe", k=9, rerank=False))) == ["beside.mp3", "untimed.mp3"]
    assert names(library.search("purple giraffe", diverse=True, rerank=False))[0] == "tagged.flac"
    assert (library.status().photos, library.status().index, library.verify()) == (4, 1, [])
    again = library.index(music)
    assert (again.unchanged, again.added, again.encoded, said(again)) == (4, 0, 0, said(report))


def test_words_of_a_later_time_are_found_there(library: Library, music: Path) -> None:
    """The words of a file are known by its first time, which ``at:`` need not allow."""
    library.index(music)
    assert best(library.search("goodbye at:>1:00", rerank=False)) == ("beside.mp3", [83.0])
    assert best(library.search("words:goodbye at:>1:00")) == ("beside.mp3", [83.0])
    assert best(library.search("words:waving words:goodbye at:1:20..1:30")) == ("beside.mp3", [83.0])
    assert names(library.search("words:goodbye at:>2:00")) == []
    assert "beside.mp3" not in names(library.search("at:>1:00 -goodbye"))


def test_a_hit_as_json(library: Library, music: Path) -> None:
    library.index(music)
    hit = library.search("purple giraffe", rerank=False)[0].to_dict()
    assert (hit["width"], hit["height"], hit["format"], hit["length"], hit["audio"]) == (0, 0, "flac", 1.0, True)
    assert hit["moments"][0] == {
        "part": 0, "start": 83.0, "end": 93.0, "at": 83.0, "score": hit["score"],
        "text": "a purple giraffe\nnothing else",
    }  # fmt: skip


def test_words_come_and_go(library: Library, music: Path) -> None:
    library.index(music)
    (music / "silent.srt").write_text(srt((2000, 3000, "a magenta hippopotamus")))
    report = library.index(music)
    assert (report.added, report.unchanged, said(report)) == (2, 4, "")  # it is called like both
    assert sorted(names(library.search("magenta hippopotamus", k=2, rerank=False))) == ["silent.ogg", "silent.wav"]
    (music / "silent.srt").unlink()
    report = library.index(music)
    assert (report.added, report.unchanged, said(report)) == (0, 4, "2 audio files without words were passed over")
    assert "silent.ogg" not in names(library.search("magenta hippopotamus", k=9, rerank=False))
    assert library.verify(deep=True) == []


def test_files_move_go_and_come_back(library: Library, music: Path) -> None:
    library.index(music)
    giraffe = library.search("purple giraffe", k=1, rerank=False)[0].photo.id
    (music / "tagged.flac").rename(music / "renamed.flac")
    (music / "silent.wav").rename(music / "still silent.wav")
    report = library.index(music)
    assert (report.moved, report.added, report.unchanged, report.removed) == (1, 0, 3, 0)
    assert library.search("purple giraffe", k=1, rerank=False)[0].photo.id == giraffe
    content = (music / "renamed.flac").read_bytes()
    status = (music / "renamed.flac").stat()
    (music / "renamed.flac").unlink()
    (music / "silent.ogg").unlink()
    report = library.index(music)
    assert (report.removed, said(report)) == (1, "1 audio file without words was passed over")
    assert "renamed.flac" not in names(library.search("purple giraffe", k=9, rerank=False))
    (music / "renamed.flac").write_bytes(content)
    os.utime(music / "renamed.flac", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert library.index(music).restored == 1
    assert best(library.search("purple giraffe", rerank=False)) == ("renamed.flac", [83.0])
    library.remove(music)
    assert names(library.search("purple giraffe", rerank=False)) == []
    assert library.index(music).added == 4


def test_an_export_brings_them(library: Library, encoder: OnnxEncoder, music: Path, tmp_path: Path) -> None:
    library.index(music)
    library.export(tmp_path / "out")
    with open_library(tmp_path / "again", settings=library.settings, encoder=encoder) as again:
        assert again.import_from(tmp_path / "out").added == 4
        for text in ("purple giraffe", "waving goodbye", "turquoise pelican"):
            assert best(again.search(text, rerank=False)) == best(library.search(text, rerank=False))
        assert again.verify(deep=True) == []
        assert again.index(music).encoded == 0


def test_a_zero_row_of_a_photo_is_still_refused(library: Library, music: Path, tmp_path: Path) -> None:
    from mmsearch.errors import TransferError

    library.index(music)
    library.export(tmp_path / "out")
    vectors = np.load(tmp_path / "out" / "vectors.npy")
    np.save(tmp_path / "out" / "vectors.npy", np.zeros_like(vectors))
    with pytest.raises(TransferError, match="is zero, so it points nowhere"):
        library.import_from(tmp_path / "out")


def test_another_model_has_them_too(
    library: Library, encoder: OnnxEncoder, settings: Settings, music: Path, tmp_path: Path
) -> None:
    library.index(music)
    shutil.copytree(encoder.folder, tmp_path / "other")
    text = (tmp_path / "other" / "model.json").read_text().replace('"context": 64', '"context": 32')
    (tmp_path / "other" / "model.json").write_text(text.replace('"embedded"', '"other"'))
    with open_library(library.folder, settings=settings, encoder=OnnxEncoder(tmp_path / "other")) as again:
        report = again.index(model="other")
        assert (report.encoded, report.skipped, again.status().model) == (1, (), "other")
        assert best(again.search("waving goodbye", rerank=False)) == ("beside.mp3", [83.0])
        assert sorted(names(again.search("type:audio", k=9))) == ["beside.mp3", "tagged.flac", "untimed.mp3"]
        assert again.verify(deep=True) == []


class Listener:
    """Hears the same in everything, and counts how often it is asked."""

    engine = "listener 1"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def transcribe(self, file: BinaryIO, path: str) -> list[Cue]:
        self.heard.append(os.path.basename(path))
        return [] if path.endswith(".ogg") else [Cue(1000, 2000, "a crimson octopus")]


def test_what_is_heard_makes_them_found(library: Library, encoder: OnnxEncoder, music: Path) -> None:
    library.index(music)
    model = library.store.model()
    assert model is not None
    listener = Listener()
    context = IngestContext(library.store, model, encoder, [str(music)], Options())
    for _ in range(2):  # nothing is heard twice
        enrich(speech.Speech(context, listener), library.store, context.options, IndexReport())
    assert sorted(listener.heard) == ["beside.mp3", "silent.ogg", "silent.wav", "tagged.flac", "untimed.mp3"]
    found = names(library.search("crimson octopus type:audio", k=9, rerank=False))
    assert sorted(found) == ["beside.mp3", "silent.wav", "tagged.flac", "untimed.mp3"]
    assert best(library.search("purple giraffe", rerank=False)) == ("tagged.flac", [83.0])
    assert said(library.index(music)) == "1 audio file without words was passed over"


def test_sound_is_no_example(library: Library, music: Path) -> None:
    library.index(music)
    with pytest.raises(QueryError, match="has no vector: it is sound"):
        library.search(music / "tagged.flac")


def test_copies_are_exact_duplicates_and_nothing_else_is(library: Library, music: Path) -> None:
    (music / "copy.flac").write_bytes((music / "tagged.flac").read_bytes())
    library.index(music)
    for level in ("exact", "near", "burst"):
        groups = library.duplicates(level)
        assert [sorted(os.path.basename(one.path) for one in (g.keep, *g.others)) for g in groups] == [
            ["copy.flac", "tagged.flac"]
        ]


def test_a_library_of_sound_alone(library: Library, tmp_path: Path) -> None:
    place = folder_of(
        tmp_path / "alone", {"a.flac": sound(LYRICS="[00:03.00]a purple giraffe"), "b.flac": sound(hertz=9)}
    )
    assert library.index(place).added == 1
    assert best(library.search("purple giraffe", rerank=False)) == ("a.flac", [3.0])
    assert names(library.search("something else", rerank=False)) == []
    assert library.verify() == []


def test_the_command_line_shows_times(mmsearch: CLI, music: Path) -> None:
    done = mmsearch("index", music)
    assert "4 added" in done.stderr
    assert "2 audio files without words were passed over" in done.stderr
    table = mmsearch("query", "waving goodbye", "--moments").stdout
    assert "1:23" in table
    assert "0×0" not in table
    hit = json.loads(mmsearch("query", "purple giraffe", "-k", "1", "--json").stdout.splitlines()[0])
    assert hit["moments"][0]["start"] == 83.0
    assert "3 audio files with words" in mmsearch("status").stdout
    shown = mmsearch("query", music / "tagged.flac", check=1)
    assert "has no vector: it is sound" in shown.stderr
    for command in (("explain", "--json"), ("ask",)):
        told = mmsearch(command[0], music / "tagged.flac", "is it a dog?", *command[1:], check=1)
        assert "it is sound: there is no picture in it" in told.stderr
    sheet = music.parent / "sheet.html"
    mmsearch("query", "purple giraffe", "--html", sheet)
    assert "there is no picture in it" in sheet.read_text("utf-8")


def test_commands_call_sound_what_it_is(mmsearch: CLI, music: Path) -> None:
    shutil.copy(music / "tagged.flac", music / "copy.flac")
    mmsearch("index", music)
    listed = mmsearch("duplicates").stdout.splitlines()[:2]
    assert [line.split()[:2] for line in listed] == [["keep", "0:01"], ["exact", "0:01"]]
    done = mmsearch("export", music.parent / "out", "--format", "webdataset")
    assert "1 photo, 0 with a caption" in done.stderr
    assert "tagged.flac: sound is no sample" in done.stderr
