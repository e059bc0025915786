"""Retrieval metrics against hand-worked examples and plain loops."""

from __future__ import annotations

import numpy as np

from mmsearch.evaluation.metrics import best, gains, intervals, ranks, retrieval, summarize


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


def test_hubness_penalty_worked_by_hand() -> None:
    images = np.array([[1, 0], [0, 1]], np.float32)
    texts = np.array([[0.6, 0.8], [0.28, 0.96]], np.float32)  # both nearer to photo 1; caption 0 is of photo 0
    owner = np.array([0, 1])
    plain = ranks(images, texts, owner)
    assert {direction: found.tolist() for direction, found in plain.items()} == {
        "text_to_image": [2, 1], "image_to_text": [1, 1],
    }  # fmt: skip
    fair = ranks(images, texts, owner, np.array([0, 0.3], np.float32))  # 0.6 > 0.8 - 0.3, 0.96 - 0.3 > 0.28
    assert {direction: found.tolist() for direction, found in fair.items()} == {
        "text_to_image": [1, 1], "image_to_text": [1, 1],
    }  # fmt: skip


def test_ranks_with_a_penalty_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    images, texts = (rng.standard_normal((n, 8)).astype(np.float32) for n in (20, 50))
    owner = rng.integers(0, 18, 50)  # photos 18 and 19 have no caption
    hubness_penalty = rng.standard_normal(20).astype(np.float32)
    found = ranks(images, texts, owner, hubness_penalty)
    for text, own in enumerate(owner):
        scores = [float(texts[text] @ images[photo]) - float(hubness_penalty[photo]) for photo in range(20)]
        assert found["text_to_image"][text] == sum(score >= scores[own] - 1e-5 for score in scores)
    assert len(found["image_to_text"]) == len(set(owner.tolist()))
    np.testing.assert_array_equal(found["image_to_text"], ranks(images, texts, owner)["image_to_text"])


def test_the_same_caption_of_two_photos_counts_against_both() -> None:
    rng = np.random.default_rng(2)
    images = rng.standard_normal((2, 64)).astype(np.float32)
    texts = np.repeat(rng.standard_normal((1, 64)).astype(np.float32), 2, axis=0)
    assert ranks(images, texts, np.array([0, 1]))["image_to_text"].tolist() == [2, 2]


def test_intervals_equal_a_plain_loop_over_the_same_resamples() -> None:
    rng = np.random.default_rng(3)
    photo = np.sort(rng.integers(0, 30, 100))
    photos = sorted(set(photo.tolist()))
    found = rng.integers(1, 25, 100)
    drawing = np.random.default_rng(0)
    figures: dict[str, list[float]] = {"R@1": [], "R@5": [], "R@10": [], "MRR": []}
    for _ in range(1000):
        sample: list[int] = []
        for place in drawing.integers(0, len(photos), len(photos)):
            sample += [int(rank) for rank, own in zip(found, photo, strict=True) if own == photos[place]]
        for k in (1, 5, 10):
            figures[f"R@{k}"].append(100 * sum(rank <= k for rank in sample) / len(sample))
        figures["MRR"].append(100 * sum(1 / rank for rank in sample) / len(sample))
    wanted = {name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in figures.items()}
    got = intervals(found, photo)
    assert list(got) == list(wanted)
    for name, pair in wanted.items():
        np.testing.assert_allclose(got[name], pair, atol=0.006)  # they are rounded to two places


def test_intervals_of_few_photos_with_many_captions_are_wide() -> None:
    found = np.repeat([1, 20], 500)  # one photo always found, one never: a thousand captions, but two photos
    assert intervals(found, np.repeat([0, 1], 500))["R@1"] == [0.0, 100.0]
    low, high = intervals(found, np.arange(1000))["R@1"]
    assert 46 < low < 48 < 52 < high < 54  # 50 +- 1.96 * sqrt(0.25 / 1000) = 46.9 to 53.1
    assert intervals(np.array([], np.int64), np.array([], np.int64))["MRR"] == [0.0, 0.0]


def test_best_equals_a_full_sort() -> None:
    rng = np.random.default_rng(4)
    queries, gallery = (rng.standard_normal((n, 8)).astype(np.float32) for n in (40, 30))
    rows, scores = best(queries, gallery, 5)
    order = np.argsort(-(queries @ gallery.T), axis=1)[:, :5]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(scores, np.take_along_axis(queries @ gallery.T, order, axis=1))
    assert best(queries, gallery[:3], 5)[0].shape == (40, 3)


def test_gains_worked_by_hand() -> None:
    # Two photos with two captions each.  At 1: 0, +1, 0, 0 -> 25 points; photo 0 gains 50, photo 1 nothing.
    before, after = np.array([1, 2, 7, 30]), np.array([1, 1, 4, 30])
    found = gains(before, after, np.array([0, 0, 1, 1]))
    # Drawn are (0, 0), (0, 1), (1, 0) or (1, 1), a quarter each: the means are 50, 25, 25 and 0 at 1.
    assert found == {
        "R@1": {"points": 25.0, "interval": [0.0, 50.0]},
        "R@5": {"points": 25.0, "interval": [0.0, 50.0]},  # 7 -> 4, of photo 1
        "R@10": {"points": 0.0, "interval": [0.0, 0.0]},
    }
    nothing = np.array([], np.int64)
    assert gains(nothing, nothing, nothing)["R@1"] == {"points": 0.0, "interval": [0.0, 0.0]}


def test_interval_of_a_gain_is_paired() -> None:
    """Figures that rise and fall with the queries say less than what each query gains."""
    rng = np.random.default_rng(0)
    before = rng.integers(1, 4, 200)
    after = np.where(rng.random(200) < 0.2, 1, before)
    low, high = gains(before, after, np.arange(200))["R@1"]["interval"]
    apart = intervals(after, np.arange(200))["R@1"]
    assert 0 < low < high
    assert high - low < apart[1] - apart[0]
