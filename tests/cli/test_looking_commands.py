"""``mmsearch caption``, ``ask`` and ``explain``, and captions of a library."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import CLI

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.rerank.inspect import Looker
from mmsearch.rerank.reranker import Reranker

Run = Callable[..., Any]


@pytest.fixture
def looking(mmsearch: CLI, region_model: Path, small_reranker: Path) -> Run:
    """The command line with the small reranker, and with its encoder for new libraries."""

    def run(*arguments: str | Path, **options: Any) -> Any:
        settings = {"MMSEARCH_RERANKER": str(small_reranker), "MMSEARCH_MODEL": f"local-dir:{region_model}"}
        return mmsearch(*arguments, **{**settings, **options})

    return run


@pytest.fixture
def direct(region_encoder: OnnxEncoder, small_reranker: Path) -> Looker:
    return Looker(region_encoder, Reranker(small_reranker, region_encoder))


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_captions_of_photos_without_a_library(looking: Run, direct: Looker, photos: Path) -> None:
    names = ["photos/cat.png", "photos/trips/rocket.jpg"]
    said = [direct.caption(str(photos.parent / name), 2) for name in names]
    out = looking("caption", *names).stdout
    assert out == "".join(f"{name}\t{captions[0].text}\n" for name, captions in zip(names, said, strict=True))
    assert not (photos.parent / "home" / ".local").exists()  # no library was made
    out = looking("caption", *names, "--alternatives", "2").stdout
    assert out.splitlines()[0] == "\t".join([names[0], *(caption.text for caption in said[0])])
    found = objects(looking("caption", *names, "--alternatives", "1", "--json").stdout)
    assert found == [
        {
            "photo": name,
            "caption": captions[0].text,
            "confidence": captions[0].confidence,
            "alternatives": [{"caption": captions[1].text, "confidence": captions[1].confidence}],
        }
        for name, captions in zip(names, said, strict=True)
    ]


def test_damaged_photos_are_named_and_the_others_go_on(looking: Run, direct: Looker, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    done = looking("caption", "photos/bad.jpg", "photos/cat.png", "photos/none.jpg", "photos", check=1)
    assert done.stdout == f"photos/cat.png\t{direct.caption(str(photos / 'cat.png'))[0].text}\n"
    assert done.stderr.splitlines()[-3:] == [
        "photos/bad.jpg: not a picture that can be read",
        "photos/none.jpg: No such file or directory",
        "photos: Is a directory",
    ]


def test_paths_of_captions_are_printed_byte_for_byte(
    mmsearch_process: CLI, region_model: Path, small_reranker: Path, photos: Path
) -> None:
    """In processes: the bytes that arguments and a pipe carry."""
    settings = {"MMSEARCH_RERANKER": str(small_reranker), "MMSEARCH_MODEL": f"local-dir:{region_model}"}
    looking = partial(mmsearch_process, **settings)
    try:
        shutil.copy(os.fsencode(photos / "cat.png"), os.fsencode(photos) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    name = os.fsdecode(b"photos/caf\xe9.png")
    assert looking("caption", name).stdout.startswith(f"{name}\t")
    assert objects(looking("caption", name, "--json").stdout)[0]["photo"] == name


def test_answers(looking: Run, direct: Looker, photos: Path) -> None:
    answers = direct.ask(str(photos / "cat.png"), "what is it?", 4)
    out = looking("ask", "photos/cat.png", "what", "is", "it?", "-k", "4").stdout
    assert out.splitlines() == [f"{answer.confidence:.3f}  {answer.text}" for answer in answers]
    found = objects(looking("ask", "photos/cat.png", "what is it?", "--json").stdout)
    best = [{"answer": answer.text, "confidence": answer.confidence} for answer in answers[:3]]
    assert found == [{"photo": "photos/cat.png", "question": "what is it?", "answers": best}]


def test_heat_as_numbers_and_as_a_picture(looking: Run, direct: Looker, photos: Path, tmp_path: Path) -> None:
    wanted = direct.explain(str(photos / "cat.png"), "a red cat")
    done = looking("explain", "photos/cat.png", "a", "red", "cat", "--json")
    (found,) = objects(done.stdout)
    assert (found["photo"], found["text"], found["side"]) == ("photos/cat.png", "a red cat", 7)
    assert (found["score"], found["by"]) == (wanted.score, "match")
    assert [word["word"] for word in found["words"]] == ["red", "cat"]
    for word, own in zip(found["words"], wanted.words, strict=True):
        np.testing.assert_allclose(word["heat"], own.heat, atol=1e-4)
    np.testing.assert_allclose(found["overall"], wanted.overall, atol=1e-4)

    (found,) = objects(looking("explain", "photos/cat.png", "a red cat", "--attention", "--json").stdout)
    looked = direct.explain(str(photos / "cat.png"), "a red cat", "attention")
    assert found["by"] == "attention"
    np.testing.assert_allclose(found["words"][2]["heat"], looked.words[2].heat, atol=1e-4)
    np.testing.assert_allclose(found["overall"], looked.overall, atol=1e-4)

    done = looking("explain", "photos/cat.png", "a red cat", "-o", "heat.png")
    assert done.stdout == f"{wanted.score:.3f}\n"
    assert done.stderr.splitlines()[-1] == "wrote heat.png"
    with Image.open(tmp_path / "heat.png") as drawn:
        difference = np.abs(np.asarray(drawn).astype(int) - np.asarray(direct.draw(wanted)))
    assert difference.max() <= 2
    looking("explain", "photos/cat.png", "a red cat", "-o", "photos/heat.jpg", "--json")
    assert {file.name for file in tmp_path.iterdir()} >= {"heat.png"}
    with Image.open(photos / "heat.jpg") as drawn:
        assert drawn.format == "JPEG"
    assert list(tmp_path.rglob(".*heat*")) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["caption"], 2, "PHOTO"),
        (["caption", "photos/cat.png", "--alternatives", "-1"], 2, "--alternatives"),
        (["caption", "photos/cat.png", "--device", "tpu"], 2, "must be auto, cpu or cuda"),
        (["caption", "photos/cat.png", "--library", "nowhere"], 1, "there is no library in"),
        (["ask", "photos/cat.png"], 2, "QUESTION"),
        (["ask", "photos/cat.png", " "], 2, "the question is empty"),
        (["ask", "photos/none.png", "what?"], 1, "photos/none.png: No such file"),
        (["ask", "photos/cat.png", "what?", "-k", "0"], 2, "-k"),
        (["explain", "photos/cat.png", "cat"], 2, "give -o FILE.png, --json, or both"),
        (["explain", "photos/cat.png", "?", "--json"], 2, "no words"),
        (["explain", "photos/cat.png", "cat", "-o", "heat.txt"], 2, "must end in .png, .jpg or .webp"),
        (["explain", "photos/cat.png", "cat", "-o", "none/heat.png"], 1, "there is no folder none"),
        (["explain", "photos/cat.png", "cat", "-o", "folder.png"], 1, "it is a folder"),
        (["explain", "photos/cat.png", "cat", "-o", "photos/../photos/cat.png"], 1, "is the photo itself"),
        (["explain", "photos/cat.png", "cat", "-o", "link.png"], 1, "is the photo itself"),
    ],
)
def test_wrong_input_has_a_message_and_an_exit_code(
    looking: Run, photos: Path, arguments: list[str], code: int, message: str
) -> None:
    (photos.parent / "folder.png").mkdir()
    (photos.parent / "link.png").symlink_to(photos / "cat.png")
    before = (photos / "cat.png").read_bytes()
    done = looking(*arguments, check=code)
    assert message in done.stderr
    assert done.stdout == ""
    assert (photos / "cat.png").read_bytes() == before


def test_a_model_without_a_reranker_takes_that_of_the_embedded_one(
    mmsearch: CLI, region_model: Path, photos: Path
) -> None:
    model = {"MMSEARCH_MODEL": f"local-dir:{region_model}"}
    wanted = mmsearch("caption", "photos/cat.png").stdout
    assert mmsearch("caption", "photos/cat.png", **model).stdout == wanted  # without a library
    done = mmsearch("index", "photos", "--captions", **model)
    assert re.search(r"region tokens of the embedded model added to 5 photos \(\d+ ms each to encode\)", done.stderr)
    assert mmsearch("caption", "photos/cat.png").stdout == wanted
    assert "5 photos can be looked at again and asked about, 5 with captions" in mmsearch("status").stdout
    none = {**model, "MMSEARCH_RERANKER": "none"}
    for arguments in (["caption", "photos/cat.png"], ["index", "photos", "--captions"]):
        assert "the setting reranker is none" in mmsearch(*arguments, check=1, **none).stderr


def test_captions_of_a_library(looking: Run, direct: Looker, photos: Path) -> None:
    (report,) = objects(looking("index", "photos", "--captions", "--json").stdout)
    assert (report["added"], report["captions"]) == (5, 5)
    (status,) = objects(looking("status", "--json").stdout)
    assert (status["photos"], status["captions"]) == (5, 5)
    assert "5 photos can be looked at again and asked about, 5 with captions" in looking("status").stdout
    assert "captions written" not in looking("index", "--captions").stderr
    hits = objects(looking("query", "a cat", "--json").stdout)
    assert all(isinstance(hit["caption"], str) for hit in hits)
    (photos / "cat.png").rename(photos.parent / "away.png")
    kept = {hit["path"]: hit["caption"] for hit in hits}[str(photos / "cat.png")]
    assert looking("caption", photos / "cat.png").stdout == f"{photos / 'cat.png'}\t{kept}\n"  # by its stored tokens
    done = looking("explain", photos / "cat.png", "a cat", "-o", "heat.png", check=1)
    assert "nothing can be drawn over it; --json gives the numbers" in done.stderr
    assert objects(looking("explain", photos / "cat.png", "a cat", "--json").stdout)[0]["side"] == 7


def test_heat_is_not_drawn_over_another_picture_of_the_library(looking: Run, photos: Path) -> None:
    looking("index", "photos")
    before = (photos / "grass.png").read_bytes()
    done = looking("explain", "photos/cat.png", "a cat", "-o", "photos/grass.png", check=1)
    assert "grass.png is a picture of the library: name another file" in done.stderr
    assert (photos / "grass.png").read_bytes() == before


def test_captions_can_be_added_later(looking: Run, photos: Path) -> None:
    looking("index", "photos")
    assert [hit["caption"] for hit in objects(looking("query", "a cat", "--json").stdout)] == [None] * 5
    assert looking("index", "--captions").stderr.splitlines()[-1] == "captions written for 5 photos"
