"""Names of clusters: class-based TF-IDF worked out by hand, and which terms make a name."""

from __future__ import annotations

from math import log

import numpy as np

from mmsearch.manage.map import names
from mmsearch.manage.map.names import Said, c_tf_idf, caption_words, counted, named, terms_of
from mmsearch.types import Photo


def photo(*tags: str, caption: str | None = None, description: str | None = None) -> Photo:
    return Photo("/p.jpg", 4, 3, "jpeg", 1, 1, caption=caption, description=description, tags=tags)


def said(counts: list[list[float]], terms: tuple[str, ...], photos: list[int]) -> Said:
    return Said(terms, np.array(counts, float), np.array(photos, np.int64), sum(photos))


def no_term_above(above: str, below: str) -> bool:
    return False


def test_weights_are_those_worked_out_by_hand() -> None:
    # two clusters of 4 and 2 terms: 3 on average; the terms are said 3, 2 and 1 times
    counts = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    expected = [
        [3 / 4 * log(1 + 3 / 3), 1 / 4 * log(1 + 3 / 2), 0.0],
        [0.0, 1 / 2 * log(1 + 3 / 2), 1 / 2 * log(1 + 3 / 1)],
    ]
    assert np.allclose(c_tf_idf(counts), expected)
    assert c_tf_idf(np.zeros((2, 0))).shape == (2, 0)
    assert c_tf_idf(np.array([[0.0], [2.0]]))[0].tolist() == [0.0]


def test_a_photo_counts_once_for_each_of_its_words_in_the_singular() -> None:
    one = photo("Dog", "dog", caption="Two dogs and a dog on the beach", description="Dogs at the beaches, 2019")
    assert terms_of(one) == {"dog", "beach"}
    assert caption_words("a 12 of by B52 the") == set()
    assert terms_of(photo()) == set()


def test_counts_are_of_photos() -> None:
    made = counted([[photo("dog"), photo("dog", "sea"), photo()], [photo("car")]])
    assert made.terms == ("car", "dog", "sea")
    assert made.counts.tolist() == [[0, 2, 1], [1, 0, 0]]
    assert (made.photos.tolist(), made.worded) == ([3, 1], 3)


def test_names_are_what_is_said_of_a_cluster_more_than_of_others() -> None:
    terms = ("beach", "outdoors", "sea", "snow")
    counts = [[80.0, 90.0, 60.0, 0.0], [0.0, 90.0, 5.0, 70.0]]
    assert named(said(counts, terms, [100, 100]), no_term_above) == ["beach, sea", "snow"]


def test_a_word_of_few_photos_is_no_name() -> None:
    terms = ("car", "zebra")
    assert named(said([[50.0, 10.0], [0.0, 0.0]], terms, [100, 100]), no_term_above) == ["car", names.UNNAMED]


def test_names_differ_and_the_first_cluster_chooses_first() -> None:
    terms = ("ball", "dog", "grass")
    counts = [[30.0, 90.0, 60.0], [30.0, 90.0, 60.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], *[[0.0] * 3] * 9]
    found = named(said(counts, terms, [100] * len(counts)), no_term_above)
    assert found[:4] == ["dog, grass", "dog, ball", names.UNNAMED, f"{names.UNNAMED} 2"]
    assert len(set(found)) == len(found)


def test_the_narrower_word_stands_for_the_broader_one() -> None:
    assert names.implies("animal", "dog")
    assert not names.implies("dog", "animal")
    assert not names.implies("beach", "dog")
    terms = ("animal", "dog", "snow")
    counts = [[90.0, 85.0, 40.0], *[[0.0] * 3] * 9]
    assert named(said(counts, terms, [100] * 10))[0] == "dog, snow"


def test_two_forms_of_one_thing_are_no_name() -> None:
    terms = ("ball", "ball game", "park")
    counts = [[60.0, 58.0, 40.0], *[[0.0] * 3] * 9]
    assert named(said(counts, terms, [100] * 10), no_term_above)[0] in ("ball, park", "ball game, park")
