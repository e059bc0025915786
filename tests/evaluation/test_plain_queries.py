"""The 200 plain queries of ``benchmarks/``: their files, the language of their rules, and the figure."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is installed nowhere

from benchmarks.captioned import average_precision
from benchmarks.plain_queries import (
    HERE,
    KINDS,
    RIGHT,
    UNCLEAR,
    WRONG,
    Query,
    fits,
    grade,
    graded,
    interval,
    judged_photos,
    parse,
    read_grades,
    read_queries,
    score,
)


def test_the_queries_are_two_hundred_different_ones_of_known_kinds_whose_rules_can_be_read() -> None:
    queries = read_queries()
    assert len({query.text for query in queries}) == len(queries) == 200
    assert set(Counter(query.kind for query in queries)) == set(KINDS)


def test_each_grade_is_of_a_known_query_and_stands_once() -> None:
    lines = [line.split("\t") for line in (HERE / "plain_grades.tsv").read_text("utf-8").splitlines()]
    assert {len(fields) for fields in lines} == {3}
    assert {query for query, _, _ in lines} <= {query.text for query in read_queries()}
    assert {given for _, _, given in lines} == {"0", "1", "2"}
    assert len({(query, photo) for query, photo, _ in lines}) == len(lines)
    assert sum(len(photos) for photos in read_grades().values()) == len(lines)


@pytest.mark.parametrize(
    ("rule", "caption", "right"),
    [
        ("dog+", "Two dogs run.", True),
        ("dog+", "A dog's toy", True),
        ("dog+", "A doghouse", False),
        ("dog", "Two dogs run.", False),
        ("bench+", "Empty BENCHES", True),
        ("hot dog+|sausage+", "a man eats hot dogs", True),
        ("hot dog+|sausage+", "a dog on a hot day", False),
        ("cat & sofa|couch", "a couch with a cat", True),
        ("cat & sofa|couch", "a cat on a chair", False),
        ("dog & !hot dog", "a dog", True),
        ("dog & !hot dog", "a hot dog and a dog", False),
        ("red > car+", "a red car", True),
        ("red > car+", "a red and white car", True),
        ("red > car+", "a red shirt and a car", False),  # three words between
        ("red > car+", "the car is red", False),
        ("red > car+", "a red shirt beside the old red car", True),  # the second "red" counts
        ("two|pair of > brown > dog+", "a pair of small brown dogs", True),
        ("3 > zebra+", "There are 3 zebras", True),
    ],
)
def test_a_rule_says_whether_a_caption_fits(rule: str, caption: str, right: bool) -> None:
    assert fits(caption, parse(rule)) == right


@pytest.mark.parametrize("rule", ["", "dog &", "dog|", "Dog", "dog*", "red > ", "a+b", "! "])
def test_a_rule_that_cannot_be_read_is_told(rule: str) -> None:
    with pytest.raises(ValueError, match="is no phrase"):
        parse(rule)


def test_many_captions_must_agree_and_one_of_many_leaves_a_photo_out() -> None:
    rule = parse("dog+")
    assert [grade(["a dog"] * many + ["a man"] * (5 - many), rule) for many in range(4)] == [
        WRONG,
        UNCLEAR,
        RIGHT,
        RIGHT,
    ]
    assert [grade(["a dog"], rule), grade(["a dog", "a man"], rule), grade(["a man"], rule)] == [RIGHT, RIGHT, WRONG]


def test_looking_overrules_the_rule() -> None:
    captions = {"a.jpg": ["a dog"], "b.jpg": ["a dog"], "c.jpg": ["a cat"]}
    queries = [Query("thing", "dog", parse("dog+")), Query("thing", "cat", parse("cat+"))]
    found = graded(queries, captions, {"dog": {"b.jpg": 1, "c.jpg": 2}})
    assert found.tolist() == [[2, 1, 2], [0, 0, 2]]


def test_average_precision_by_hand() -> None:
    """Right photos stand first, third and fourth: (1/1 + 2/3 + 3/4) / 3."""
    scores = np.array([0.9, 0.1, 0.7, 0.6, 0.8], np.float32)
    right = np.array([True, False, True, True, False])
    assert average_precision(scores, right) == pytest.approx(100 * (1 + 2 / 3 + 3 / 4) / 3)


def test_unclear_photos_are_left_out_of_the_figures() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], np.float32)
    grades = np.array([UNCLEAR, RIGHT, WRONG, UNCLEAR, RIGHT, WRONG, WRONG])
    assert list(score(scores, grades)) == pytest.approx([100 * (1 + 2 / 3) / 2, 40.0])


def test_the_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    values = np.random.default_rng(1).uniform(0, 100, 400)
    low, high = interval(values)
    assert low < values.mean() < high
    few = interval(values[:25])
    assert few[1] - few[0] > high - low
    assert interval(np.full(10, 7.0)) == [7.0, 7.0]


def test_judged_photos_are_those_of_the_three_lists(tmp_path: Path) -> None:
    (tmp_path / "captions.tsv").write_text("a\ta dog\na\tone dog\nb\ta cat\nc\ta cow\nd\ta hen\n", "utf-8")
    for name, photos in {"dev.txt": "a\n", "coco_dev.txt": "b\n", "words_dev.txt": "d\n"}.items():
        (tmp_path / name).write_text(photos, "utf-8")
    assert judged_photos(tmp_path) == {"a": ["a dog", "one dog"], "b": ["a cat"], "d": ["a hen"]}
