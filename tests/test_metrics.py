"""Retrieval metrics against hand-worked examples."""

from __future__ import annotations

import numpy as np

from mmsearch.metrics import retrieval, summarize


def test_summary_of_ranks_worked_by_hand() -> None:
    # ranks 1, 2, 6, 20: one in the first, two in the first 5, three in the first 10; mean of 1, 1/2, 1/6, 1/20
    assert summarize(np.array([1, 2, 6, 20])) == {"R@1": 25.0, "R@5": 50.0, "R@10": 75.0, "MRR": 42.92}


def test_no_queries_score_nothing() -> None:
    assert summarize(np.array([], np.int64)) == {"R@1": 0.0, "R@5": 0.0, "R@10": 0.0, "MRR": 0.0}


def test_two_photos_with_two_captions_each_worked_by_hand() -> None:
    images = np.array([[1, 0], [0, 1]], np.float32)
    # similarities to (photo 0, photo 1):      0.8, 0.6     0.6, 0.8     0.6, 0.8     0.28, 0.96
    texts = np.array([[0.8, 0.6], [0.6, 0.8], [0.6, 0.8], [0.28, 0.96]], np.float32)
    owner = np.array([0, 0, 1, 1])
    found = retrieval(images, texts, owner)
    # Caption 1 is of photo 0 but nearer to photo 1: rank 2.  The others are right at once.
    assert found["text_to_image"] == {"R@1": 75.0, "R@5": 100.0, "R@10": 100.0, "MRR": 87.5}
    # Photo 0's best own caption (0.8) beats all wrong ones (0.6, 0.28); photo 1's (0.96) too.
    assert found["image_to_text"] == {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "MRR": 100.0}


def test_equal_vectors_do_not_look_perfect() -> None:
    same = np.tile(np.array([[1, 0]], np.float32), (4, 1))
    found = retrieval(same, same, np.arange(4))
    assert found["text_to_image"]["R@1"] == 0.0
    assert found["image_to_text"]["R@1"] == 0.0


def test_ranks_equal_a_full_sort() -> None:
    rng = np.random.default_rng(0)
    images, texts = (rng.standard_normal((n, 8)).astype(np.float32) for n in (30, 90))
    owner = rng.integers(0, 30, 90)
    owner[:30] = np.arange(30)
    order = np.argsort(-(texts @ images.T), axis=1)
    to_image = np.array([int(np.where(order[t] == owner[t])[0][0]) + 1 for t in range(90)])
    order = np.argsort(-(images @ texts.T), axis=1)
    to_text = np.array([min(place for place, t in enumerate(order[p], 1) if owner[t] == p) for p in range(30)])
    # A photo's rank counts the wrong captions before its best own one, so own captions never push it down.
    wanted = {"text_to_image": summarize(to_image), "image_to_text": summarize(to_text)}
    assert retrieval(images, texts, owner) == wanted
