"""``mmsearch eval`` on a few photos, from files to figures, against the plain arithmetic."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import CLI, model_without_regions

from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import FILES, OnnxEncoder
from mmsearch.media.decode import decode

CAPTIONS = {
    "cat.png": ["a cat", "a man with a camera on a tripod"],  # the second one is found at another photo
    "grass.png": ["grass"],
    "cameraman.png": ["a man with a camera"],
    "trips/rocket.jpg": ["a rocket takes off"],
}
TEXTS = ["a dog", "a man", "a man with a hat", "grass", "a street", "the sea"]
EVAL = ["eval", "--captions", "captions.tsv", "--images", "photos"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    lines = [f"{name}\t{caption}\n" for name, captions in CAPTIONS.items() for caption in captions]
    (tmp_path / "captions.tsv").write_text("".join(lines) + "gone.png\tnothing\n")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    (tmp_path / "classes.txt").write_text("cat\tcat, kitten\ntrips\ttravel\ngrass\n")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def vectors(encoder: OnnxEncoder, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    pixels = []
    for name in CAPTIONS:
        with (photos / name).open("rb") as file:
            pixels.append(decode(file, name, encoder.card.preprocess).pixels)
    texts = [caption for captions in CAPTIONS.values() for caption in captions]
    return encoder.encode_images(np.stack(pixels)), encoder.encode_texts(texts)


def percent(ranks: list[int], k: int) -> float:
    return round(100 * sum(rank <= k for rank in ranks) / len(ranks), 2)


def test_figures_and_dump_are_the_plain_arithmetic(
    mmsearch: CLI, photos: Path, tmp_path: Path, encoder: OnnxEncoder
) -> None:
    arguments = [*EVAL, "--model", "embedded", "--background", "texts.txt", "--dump", "ranks.jsonl", "--json"]
    (figures,) = lines(mmsearch(*arguments).stdout)
    images, texts = vectors(encoder, photos)
    names, captions = list(CAPTIONS), [caption for own in CAPTIONS.values() for caption in own]
    owner = [names.index(name) for name, own in CAPTIONS.items() for _ in own]
    bank = encoder.encode_texts([text for text in TEXTS if text not in captions])
    background = [sum(float(photo @ text) for text in bank) / len(bank) for photo in images]
    plain, fair = [], []
    for text, own in zip(texts, owner, strict=True):
        scores = [float(text @ photo) for photo in images]
        plain.append(sum(score >= scores[own] for score in scores))
        scores = [score - 0.5 * behind for score, behind in zip(scores, background, strict=True)]
        fair.append(sum(score >= scores[own] for score in scores))
    assert plain[1] > 1
    assert figures["background"] == {"texts": 5, "left_out": 1, "nearest": 5, "beta": 0.5}
    for ranks, shown in [(plain, figures), (fair, figures["corrected"])]:
        assert shown["text_to_image"] == {
            **{f"R@{k}": percent(ranks, k) for k in (1, 5, 10)},
            "MRR": round(100 * sum(1 / rank for rank in ranks) / len(ranks), 2),
        }
        assert shown["image_to_text"] == figures["image_to_text"]
        drawing, means = np.random.default_rng(0), []
        for _ in range(1000):
            drawn = drawing.integers(0, len(names), len(names)).tolist()
            sample = [rank for photo in drawn for rank, own in zip(ranks, owner, strict=True) if own == photo]
            means.append(100 * sum(rank == 1 for rank in sample) / len(sample))
        wanted = np.percentile(means, [2.5, 97.5]).tolist()
        assert shown["intervals"]["text_to_image"]["R@1"] == pytest.approx(wanted, abs=0.006)
    dumped = lines((tmp_path / "ranks.jsonl").read_text())
    assert [line["direction"] for line in dumped] == ["text_to_image"] * 5 + ["image_to_text"] * 4
    assert {line["model"] for line in dumped} == {"embedded"}
    for place, line in enumerate(dumped[:5]):
        order = sorted(range(4), key=lambda photo, row=texts[place]: -float(row @ images[photo]))  # type: ignore[misc]
        assert {key: line[key] for key in ("query", "right", "rank", "corrected_rank")} == {
            "query": captions[place], "right": [names[owner[place]]], "rank": plain[place],
            "corrected_rank": fair[place],
        }  # fmt: skip
        assert [hit["answer"] for hit in line["found"]] == [names[photo] for photo in order]
        wanted = [float(texts[place] @ images[photo]) for photo in order]
        assert [hit["score"] for hit in line["found"]] == pytest.approx(wanted, abs=2e-4)
    assert [(line["query"], line["right"]) for line in dumped[5:]] == list(CAPTIONS.items())
    assert all(len(line["found"]) == 5 for line in dumped[5:])
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_zero_shot_alone(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (photos / "bad_1.png").write_bytes(b"no picture")
    (photos / "cat_1.png").write_bytes(b"no picture")
    arguments = ["eval", "--zero-shot", "classes.txt", "--images", "photos", "--model", "embedded"]
    (figures,) = lines(mmsearch(*arguments, "--json", "--dump", "ranks.jsonl").stdout)
    assert set(figures) == {"zero_shot", "photos", "skipped", "model"}
    assert sorted((Path(item["path"]).name, item["reason"]) for item in figures["skipped"]) == [
        ("bad_1.png", "no class is named like its file"),
        ("cameraman.png", "no class is named like its file"),
        ("cat_1.png", "not a picture that can be read"),
    ]
    found = figures["zero_shot"]
    assert (figures["photos"], found["photos"], found["classes"], found["without_class"]) == (4, 4, 3, 2)
    assert [(one["class"], one["photos"]) for one in found["per_class"]] == [("cat", 1), ("travel", 2), ("grass", 1)]
    dumped = {Path(line["query"]).name: line for line in lines((tmp_path / "ranks.jsonl").read_text())}
    assert {name: line["right"] for name, line in dumped.items()} == {
        "cat.png": ["cat"], "grass.png": ["grass"], "motorcycle.png": ["travel"], "rocket.jpg": ["travel"],
    }  # fmt: skip
    ranks = [line["rank"] for line in dumped.values()]
    assert (found["top-1"], found["top-5"]) == (percent(ranks, 1), 100.0)
    assert dumped["grass.png"]["rank"] == 1
    assert dumped["grass.png"]["found"][0]["answer"] == "grass"
    done = mmsearch(*arguments)
    first, second = done.stdout.splitlines()[:2]
    assert first == "embedded: 4 photos of 3 classes (in brackets: 95 % intervals)"
    assert second.startswith(f"  zero-shot  top-1 {found['top-1']:5.2f} (")
    assert "bad_1.png: no class is named like its file" in done.stderr


def test_one_model_shows_its_figures_with_intervals(mmsearch: CLI, photos: Path) -> None:
    arguments = [*EVAL, "--model", "embedded", "--background", "texts.txt", "--zero-shot", "classes.txt"]
    out = mmsearch(*arguments).stdout.splitlines()
    assert out[0] == "embedded: 4 photos, 5 captions (in brackets: 95 % intervals)"
    assert [line.split("  R@1")[0].strip() for line in out[1:4]] == [
        "text to image", "image to text", "text to image, corrected",
    ]  # fmt: skip
    assert "R@5 100.00 (100.0–100.0)" in out[1]
    assert out[4].startswith("embedded: 4 photos of 3 classes")


@pytest.fixture
def second(tmp_path: Path, encoder: OnnxEncoder) -> str:
    """The name of another model on this machine: the embedded one under another name, as an earlier run exports one."""
    name = "ViT-B-32/laion2b_s34b_b79k"
    card = replace(encoder.card, name=name, precision="float32")
    folder = tmp_path / "cache" / "models" / card.fingerprint
    folder.mkdir(parents=True)
    for file in FILES:
        os.symlink(factory.EMBEDDED / file, folder / file)
    (folder / "model.json").unlink()
    (folder / "model.json").write_text(card.to_json())
    return name


def test_several_models_side_by_side(mmsearch: CLI, photos: Path, tmp_path: Path, second: str) -> None:
    models = ["--model", "embedded", "--model", second]
    cache = str(tmp_path / "cache")
    done = mmsearch(*EVAL, *models, "--zero-shot", "classes.txt", MMSEARCH_CACHE=cache)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:4] for row in rows[2:6]] == [
        ["embedded", "text", "to", "image"], ["embedded", "image", "to", "text"],
        [second, "text", "to", "image"], [second, "image", "to", "text"],
    ]  # fmt: skip
    assert rows[2][4:] == rows[4][4:]
    assert [row[0] for row in rows[7:]] == ["Model", "embedded", second]
    assert done.stderr.count("gone.png") == 1
    dump = ["--json", "--dump", "ranks.jsonl"]
    first, other = lines(mmsearch(*EVAL, *models, *dump, MMSEARCH_CACHE=cache).stdout)
    assert {**first, "model": second} == other
    (alone,) = lines(mmsearch(*EVAL, "--model", "embedded", "--json").stdout)
    assert alone == first
    assert [line["model"] for line in lines((tmp_path / "ranks.jsonl").read_text())] == ["embedded"] * 9 + [second] * 9


def test_a_failing_model_keeps_the_figures_of_others_and_no_half_dump(
    mmsearch: CLI, photos: Path, tmp_path: Path
) -> None:
    models = ["--model", "embedded", "--model", f"local-dir:{tmp_path / 'nowhere'}"]
    (tmp_path / "ranks.jsonl").write_text("as it was")
    done = mmsearch(*EVAL, *models, "--dump", "ranks.jsonl", "--force", check=1)
    assert "embedded  text to image" in done.stdout
    assert "nowhere" in done.stderr
    assert (tmp_path / "ranks.jsonl").read_text() == "as it was"
    assert [file.name for file in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--images", "photos"], 2, "give --captions, --zero-shot, or both"),
        (["--zero-shot", "classes.txt"], 2, "--images"),
        (["--zero-shot", "classes.txt", "--images", "photos", "--background", "texts.txt"], 2, "needs --captions"),
        (["--zero-shot", "classes.txt", "--images", "photos", "--only", "texts.txt"], 2, "--only needs --captions"),
        (["--zero-shot", "classes.txt", "--images", "photos", "--rerank"], 2, "--rerank needs --captions"),
        ([*EVAL[1:], "--candidates", "9"], 2, "--candidates needs --rerank"),
        ([*EVAL[1:], "--rerank", "--candidates", "0"], 2, "--candidates"),
        ([*EVAL[1:], "--beta", "-1"], 2, "--beta"),
        ([*EVAL[1:], "--beta", "nan"], 2, "--beta"),
        ([*EVAL[1:], "--background", "empty.txt"], 1, "empty.txt: no texts"),
        ([*EVAL[1:], "--background", "own.txt"], 1, "no text that is not a caption"),
        ([*EVAL[1:], "--dump", "nowhere/ranks.jsonl"], 1, "nowhere/ranks.jsonl cannot be written: No such file"),
        ([*EVAL[1:], "--dump", "photos"], 1, "photos cannot be written: it is a folder"),
        (["--zero-shot", "nowhere.txt", "--images", "photos"], 1, "nowhere.txt cannot be read"),
        (["--zero-shot", "classes.txt", "--images", "nowhere"], 1, "nowhere: no such folder"),
        ([*EVAL[1:], "--model", "ViT-B-23"], 1, "there is no model 'ViT-B-23'"),
    ],
)
def test_wrong_input_has_a_message_and_an_exit_code(
    mmsearch: CLI, photos: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "own.txt").write_text("a cat\ngrass\n")
    done = mmsearch("eval", *arguments, "--model", "embedded", check=code)
    assert message in done.stderr
    assert done.stdout == ""


def test_perfect_figures_have_intervals_without_width(mmsearch_process: CLI, photos: Path, tmp_path: Path) -> None:
    """In a process: one of these commands as people start it."""
    (tmp_path / "captions.tsv").write_text("cameraman.png\ta man with a camera\n")
    (figures,) = lines(mmsearch_process(*EVAL, "--model", "embedded", "--json").stdout)
    assert figures["intervals"]["text_to_image"] == {name: [100.0, 100.0] for name in ("R@1", "R@5", "R@10", "MRR")}
    assert not any(math.isnan(value) for value in figures["text_to_image"].values())


def test_reranked_figures_beside_those_of_the_first_stage(
    mmsearch: CLI, photos: Path, tmp_path: Path, encoder: OnnxEncoder
) -> None:
    arguments = [*EVAL, "--model", "embedded", "--background", "texts.txt"]
    (plain,) = lines(mmsearch(*arguments, "--json").stdout)
    (figures,) = lines(mmsearch(*arguments, "--rerank", "--json").stdout)
    found = figures.pop("reranked")
    assert figures == plain
    assert set(found) == {
        "text_to_image", "intervals", "gain", "changed", "candidates", "milliseconds", "reranker", "rule", "weight",
    }  # fmt: skip
    assert (found["candidates"], found["reranker"]) == (4, "embedded")
    # It is the corrected first stage that is reranked.
    for name, gain in found["gain"].items():
        assert gain["points"] == pytest.approx(
            found["text_to_image"][name] - figures["corrected"]["text_to_image"][name], abs=0.011
        )
    # One candidate cannot change its place.
    (one,) = lines(mmsearch(*EVAL, "--model", "embedded", "--rerank", "--candidates", "1", "--json").stdout)
    assert one["reranked"]["text_to_image"] == one["text_to_image"]
    assert one["reranked"]["gain"]["R@1"] == {"points": 0.0, "interval": [0.0, 0.0]}
    out = mmsearch(*EVAL, "--model", "embedded", "--rerank", "--candidates", "3").stdout.splitlines()
    assert out[3].startswith("  text to image, reranked  R@1 ")
    assert out[4].startswith("  gained by reranking 3 candidates: R@1 ")
    assert out[5].startswith("  reranking takes ")


def test_what_several_models_gain_is_in_tables(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    with (tmp_path / "captions.tsv").open("a") as file:
        file.write("cat.png\ta red dog beside a green ball\n")  # of which false ones can be made
    copied = f"local-dir:{shutil.copytree(factory.EMBEDDED, tmp_path / 'copied')}"
    arguments = [*EVAL, "--model", "embedded", "--model", copied, "--rerank", "--candidates", "3"]
    found = {figures["model"]: figures["reranked"] for figures in lines(mmsearch(*arguments, "--json").stdout)}
    assert list(found) == ["embedded", copied]
    table = mmsearch(*arguments).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table]
    at = rows.index(["gained by reranking 3 candidates (in brackets: 95 % intervals)"])
    assert rows[at + 1] == ["Model", "R@1", "R@5", "R@10", "ms a query"]
    for row, (model, own) in zip(rows[at + 2 : at + 4], found.items(), strict=True):
        gains = [(one["points"], *one["interval"]) for one in own["gain"].values()]
        assert row[:-1] == [model, *(f"{gain:+.2f} ({low:+.2f} to {high:+.2f})" for gain, low, high in gains)]
        assert float(row[-1]) > 0
    at = rows.index(["true caption before a false one, %"])
    assert rows[at + 1] == ["Model", "Kind", "Captions", "First stage", "Reranker", "From the texts alone"]
    assert rows[at + 2 :] == [
        [model, kind, f"{one['captions']}", *(f"{one[name]:.2f}" for name in ("first_stage", "reranker", "blind"))]
        for model, own in found.items()
        for kind, one in own["changed"].items()
    ]
    assert len(rows[at + 2 :]) >= 4


def test_a_model_without_tokens_is_reranked_by_those_of_the_embedded_one(
    mmsearch: CLI, photos: Path, tmp_path: Path
) -> None:
    plain = model_without_regions(tmp_path / "plain")
    own, other = ["--model", "embedded", "--rerank", "--json"], ["--model", f"local-dir:{plain}", "--rerank", "--json"]
    (wanted,), (found,) = (lines(mmsearch(*EVAL, *options).stdout) for options in (own, other))
    assert found["text_to_image"] == wanted["text_to_image"]  # these are its vectors
    assert found["reranked"]["changed"] == wanted["reranked"]["changed"]
    assert (found["reranked"]["rule"], found["reranked"]["weight"]) == ("in spreads", 0.25)


def test_without_a_reranker(mmsearch: CLI, photos: Path) -> None:
    done = mmsearch(*EVAL, "--model", "embedded", "--rerank", check=1, MMSEARCH_RERANKER="none")
    assert done.stderr.endswith("mmsearch: the setting reranker is none\n")


def test_a_dump_has_as_many_answers_as_are_asked_for_and_replaces_no_file(
    mmsearch: CLI, photos: Path, tmp_path: Path
) -> None:
    dump = ["--model", "embedded", "--dump", "ranks.jsonl"]
    (tmp_path / "ranks.jsonl").write_text("mine")
    done = mmsearch(*EVAL, *dump, check=1)
    assert "ranks.jsonl exists already; choose another file, or replace it with --force" in done.stderr
    assert (tmp_path / "ranks.jsonl").read_text() == "mine"
    mmsearch(*EVAL, *dump, "--force", "--top", "2")
    assert {len(line["found"]) for line in lines((tmp_path / "ranks.jsonl").read_text())} == {2}
    for option in (["--top", "2"], ["--force"]):
        assert f"{option[0]} needs --dump" in mmsearch(*EVAL, *option, check=2).stderr  # or --plot
