"""Classes of photos: which photo belongs to which, their vectors, and figures against plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import SourceError
from mmsearch.evaluation.evaluate import read_classes
from mmsearch.evaluation.zero_shot import PROMPTS, Class, class_vectors, figures, label


def classes(*names: str) -> list[Class]:
    return [Class(name, (name,), (name,)) for name in names]


def labels(found: list[Class], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Relative path -> class, and relative path -> reason."""
    labelled, skipped = label(found, folder)
    return (
        {str(Path(item.path).relative_to(folder)): found[place].name for item, place in labelled},
        {str(Path(item.path).relative_to(folder)): item.reason for item in skipped},
    )


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folders_are_classes_and_the_nearest_one_decides(tmp_path: Path) -> None:
    put(tmp_path, "cat/a.jpg", "cat/more/b.jpg", "animals/dog/c.jpg", "cat/dog/d.jpg", "bird/e.jpg", "bird/cat_1.jpg")
    assert labels(classes("cat", "dog"), tmp_path) == (
        {"cat/a.jpg": "cat", "cat/more/b.jpg": "cat", "animals/dog/c.jpg": "dog", "cat/dog/d.jpg": "dog"},
        {"bird/e.jpg": "no class is named like its folder", "bird/cat_1.jpg": "no class is named like its folder"},
    )


def test_file_names_start_with_the_longest_key(tmp_path: Path) -> None:
    put(tmp_path, "cat_1.jpg", "cat-2.jpg", "cat3.jpg", "cat.jpg", "cat_big_4.jpg", "cattle_5.jpg", "Cat_6.jpg")
    assert labels(classes("cat", "cat_big"), tmp_path) == (
        {"cat_1.jpg": "cat", "cat-2.jpg": "cat", "cat3.jpg": "cat", "cat.jpg": "cat", "cat_big_4.jpg": "cat_big"},
        dict.fromkeys(("Cat_6.jpg", "cattle_5.jpg"), "no class is named like its file"),
    )


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    put(tmp_path, "ga\u0302teau/a.jpg", "tea/b.jpg")  # as macOS writes it
    assert labels(classes("g\u00e2teau", "tea"), tmp_path)[0] == {
        "ga\u0302teau/a.jpg": "g\u00e2teau",
        "tea/b.jpg": "tea",
    }


def test_no_photo_with_a_class_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "cattle_5.jpg")
    with pytest.raises(SourceError, match=r"none of the 1 photos in .* has a class"):
        label(classes("cat", "dog"), tmp_path)
    with pytest.raises(SourceError, match="nowhere: no such folder"):
        label(classes("cat", "dog"), tmp_path / "nowhere")


def test_file_of_classes(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("\ufeffn01\ttabby cat, tabby\n\ngolden_retriever\nn02 \t tabby cat,  cat \r\nsea lion\n", "utf-8")
    assert read_classes(file) == [
        Class("tabby cat", ("n01", "n02"), ("tabby cat", "tabby", "cat")),
        Class("golden retriever", ("golden_retriever",), ("golden retriever",)),
        Class("sea lion", ("sea lion",), ("sea lion",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat\n", "wanted at least two classes to tell apart, got 1"),
        ("cat\ndog\ncat\n", "'cat' is there twice"),
        ("cat\tcat,,kitten\ndog\n", "wanted 'key<TAB>class name, synonym, …' or a class name, got 'cat"),
        ("\tcat\ndog\n", "wanted 'key<TAB>class name"),
        ("cat\t\ndog\n", "wanted 'key<TAB>class name"),
    ],
)
def test_wrong_file_of_classes(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text(content)
    with pytest.raises(SourceError, match=message):
        read_classes(tmp_path / "classes.txt")


def test_class_vector_is_the_mean_over_prompts_and_synonyms(encoder: OnnxEncoder) -> None:
    cat = Class("cat", ("n01",), ("cat", "kitten {x}"))
    rows = class_vectors(encoder, [cat, *classes("dog")])
    for row, texts in zip(rows, [("cat", "kitten {x}"), ("dog",)], strict=True):
        vectors = [encoder.encode_texts([prompt.replace("{}", text)])[0] for text in texts for prompt in PROMPTS]
        mean = np.mean(vectors, axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_figures_worked_by_hand() -> None:
    names = classes("cat", "dog", "fox", "owl")
    scores = np.array(
        [
            [0.9, 0.1, 0.0, 0.0],  # a cat, right
            [0.2, 0.8, 0.1, 0.0],  # a cat, taken for a dog
            [0.3, 0.8, 0.1, 0.0],  # a cat, taken for a dog
            [0.1, 0.2, 0.3, 0.0],  # a dog, taken for a fox
            [0.5, 0.1, 0.5, 0.0],  # a fox; as near to cat, so it counts as wrong
        ],
        np.float32,
    )
    found = figures(scores, np.array([0, 0, 0, 1, 2]), names)
    assert {key: found[key] for key in ("top-1", "top-5", "mean_per_class", "photos", "classes")} == {
        "top-1": 20.0, "top-5": 100.0, "mean_per_class": 11.11, "photos": 5, "classes": 4,
    }  # fmt: skip
    assert found["confusions"] == [
        {"class": "cat", "taken_for": "dog", "photos": 2},
        {"class": "dog", "taken_for": "fox", "photos": 1},
        {"class": "fox", "taken_for": "cat", "photos": 1},
    ]
    assert found["per_class"] == [
        {"class": "cat", "photos": 3, "top-1": 33.33},
        {"class": "dog", "photos": 1, "top-1": 0.0},
        {"class": "fox", "photos": 1, "top-1": 0.0},
    ]


def test_figures_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    names = classes(*map(str, range(12)))
    scores = rng.standard_normal((80, 12)).astype(np.float32)
    right = rng.integers(0, 11, 80)
    found = figures(scores, right, names)
    ranks = [sorted(row, reverse=True).index(row[own]) + 1 for row, own in zip(scores.tolist(), right, strict=True)]
    for k in (1, 5):
        hits = np.array([rank <= k for rank in ranks])
        drawing = np.random.default_rng(0)
        means = [100 * hits[drawing.integers(0, 80, 80)].mean() for _ in range(1000)]
        assert found[f"top-{k}"] == pytest.approx(100 * hits.mean(), abs=0.006)
        assert found["intervals"][f"top-{k}"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist(), abs=0.006)
