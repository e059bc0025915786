"""Relevance that is fitted to one library: where it tells better, from enough captions, and forgotten again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError, SourceError
from mmsearch.library.calibrating import NEEDED
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.types import Decoded, Exif, Found

THINGS = ("dog", "cat", "horse", "boat", "bus", "bicycle", "cake", "clock", "kite", "umbrella", "bench", "tree", "ball")
PLACES = ("beach", "street", "table", "hill", "bridge", "lawn", "roof", "river", "stage", "sofa")
COLOURS = ("red", "blue", "white")
QUERY = "a violin in the rain"  # of no caption: where all words are written they decide


@pytest.fixture
def told(settings: Settings, encoder: OnnxEncoder) -> Iterator[tuple[Library, list[str]]]:
    """Pictures whose vectors are near to those of captions, and the captions."""
    captions = [f"a {colour} {one} and a {other}" for colour in COLOURS for one in THINGS for other in PLACES]
    captions = captions[: NEEDED + 40]
    texts = np.concatenate([encoder.encode_texts(captions[at : at + 64]) for at in range(0, len(captions), 64)])
    noise = np.random.default_rng(0).standard_normal(texts.shape).astype(np.float32) / 30
    vectors = (texts + noise) / np.linalg.norm(texts + noise, axis=1, keepdims=True)
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        card = encoder.card
        with library.store.writing() as writer:
            model = writer.add_model(card.name, card.fingerprint, card.dim, active=True)
            for number, (caption, vector) in enumerate(zip(captions, vectors, strict=True)):
                decoded = Decoded(np.zeros((8, 8, 3), np.uint8), 40, 30, "jpeg", Exif(), description=caption)
                content = writer.put(b"%d" % number, decoded, vector, model)
                writer.place(Found(f"/photos/trip/{number}.jpg", 1000 + number, 0), content)
        yield library, captions


def test_relevance_is_fitted_by_descriptions_where_it_tells_better(told: tuple[Library, list[str]]) -> None:
    library, captions = told
    steps: list[tuple[str, int, int]] = []
    before = library.search(QUERY, k=1, rerank=False)[0].relevance
    report = library.calibrate(progress=lambda one: steps.append((one.step, one.done, one.total)))
    assert report.changed
    assert report.photos == len(captions)
    assert report.after["log loss"] < report.before["log loss"]
    assert (steps[0][0], steps[-1][1]) == ("calibrate", steps[-1][2])
    after = library.search(QUERY, k=1, rerank=False)[0].relevance
    assert after != before
    stored = library.store.model()
    assert stored is not None
    file = library.models.calibration_file(stored)
    first = json.loads(file.read_text())["first"]
    assert set(first) == {"score", "background", "beta", "offset"}
    with open_library(library.folder, settings=library.settings, encoder=library.encoder()) as again:
        assert again.search(QUERY, k=1, rerank=False)[0].relevance == after
        assert again.clear_calibration()
        assert not again.clear_calibration()
    assert library.search(QUERY, k=1, rerank=False)[0].relevance == before
    assert not file.exists()


def test_captions_are_given_by_name_or_path(told: tuple[Library, list[str]], tmp_path: Path) -> None:
    library, captions = told
    lines = [f"{'trip/' if number % 2 else ''}{number}.jpg\t{caption}" for number, caption in enumerate(captions)]
    (tmp_path / "captions.tsv").write_text("\n".join(lines))
    by_file = library.calibrate(tmp_path / "captions.tsv")
    library.clear_calibration()
    assert library.calibrate({line.split("\t")[0]: [line.split("\t")[1]] for line in lines}) == by_file
    library.clear_calibration()
    assert library.calibrate() == by_file


def test_what_tells_no_worse_stays(told: tuple[Library, list[str]]) -> None:
    """What was fitted on all pictures tells better about half of them than what is fitted on the other half."""
    library, _ = told
    assert library.calibrate().changed
    first = library.search(QUERY, k=1, rerank=False)[0].relevance
    again = library.calibrate()
    assert not again.changed
    assert again.after["log loss"] >= again.before["log loss"]
    assert library.search(QUERY, k=1, rerank=False)[0].relevance == first


def test_too_few_captions_are_an_error(told: tuple[Library, list[str]], tmp_path: Path) -> None:
    library, captions = told
    few = {f"{number}.jpg": [captions[number]] for number in range(NEEDED - 1)}
    with pytest.raises(SourceError, match=rf"{NEEDED - 1} pictures .* {NEEDED} are wanted") as caught:
        library.calibrate(few)
    assert (caught.value.code, caught.value.fields) == ("too-few-captions", {"got": NEEDED - 1, "wanted": NEEDED})
    with pytest.raises(SourceError, match="0 pictures of the library have captions in the file"):
        library.calibrate({"other/1.jpg": ["a dog"]})
    (tmp_path / "wrong.tsv").write_text("no tab")
    with pytest.raises(SourceError, match="wanted 'file name<TAB>caption'"):
        library.calibrate(tmp_path / "wrong.tsv")


def test_a_description_that_very_many_share_is_none(settings: Settings, encoder: OnnxEncoder) -> None:
    blank = np.zeros((8, 8, 3), np.uint8)
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        with library.store.writing() as writer:
            model = writer.add_model(encoder.card.name, encoder.card.fingerprint, encoder.card.dim, active=True)
            for number in range(NEEDED + 10):
                picture = Decoded(blank, 4, 3, "jpeg", Exif(), description="OLYMPUS DIGITAL CAMERA")
                row = np.eye(1, encoder.card.dim, number, dtype=np.float32)[0]
                writer.place(Found(f"/p/{number}.jpg", 1, 0), writer.put(b"%d" % number, picture, row, model))
        with pytest.raises(SourceError, match="0 pictures of the library have a description"):
            library.calibrate()


def test_a_damaged_file_is_said_with_the_way_out(told: tuple[Library, list[str]]) -> None:
    library, _ = told
    stored = library.store.model()
    assert stored is not None
    library.models.calibration_file(stored).write_text("{")
    with pytest.raises(ModelError, match="forget it, or fit it again"):
        library.search("a dog")
    assert library.clear_calibration()
    assert library.search("a dog")


def test_the_command(told: tuple[Library, list[str]], mmsearch: CLI) -> None:
    library, _ = told
    place = ("--library", str(library.folder))
    done = mmsearch("calibrate", *place)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("240 pictures with captions, ")
    assert lines[-1] == "relevance is fitted to this library"
    assert mmsearch("calibrate", "--clear", *place).stderr == "forgotten\n"
    assert json.loads(mmsearch("calibrate", "--clear", "--json", *place).stdout) == {"cleared": False}
    report = json.loads(mmsearch("calibrate", "--json", *place).stdout)
    assert set(report) == {"photos", "texts", "before", "after", "changed"}
    wrong = mmsearch("calibrate", "--clear", "--captions", "x.tsv", *place, check=2)
    assert "--clear goes without --captions" in wrong.stderr
