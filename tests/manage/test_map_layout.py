"""Places of points: of their shape, the same each time, near ones near; by brute force and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_vectors import clustered

from mmsearch.errors import MapError
from mmsearch.manage.map import clusters
from mmsearch.manage.map.layout import LEAST, LISTS, LayoutConfig, Placer, Space, lay_out, nearest, spread
from mmsearch.types import Ids, Vectors


def near(rows: Vectors, count: int) -> Ids:
    """The nearest other rows, by comparing all."""
    apart = np.square(rows[:, None].astype(np.float64) - rows[None]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, axis=1)[:, :count]


def kept(vectors: Vectors, places: Vectors, count: int = 10) -> float:
    """The share of the nearest by vector that are among the nearest on the plane."""
    pairs = zip(near(vectors, count), near(places, count), strict=True)
    return float(np.mean([len(set(one) & set(other)) / count for one, other in pairs]))


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(np.random.default_rng(0), 600, clusters=12)


def test_places_have_their_shape_are_finite_and_the_same_each_time(vectors: Vectors) -> None:
    points = Space.fitted(vectors).of(vectors)
    steps: list[tuple[int, int]] = []
    places = lay_out(points, told=lambda done, total: steps.append((done, total)))
    assert places.shape == (600, 2)
    assert places.dtype == np.float32
    assert np.isfinite(places).all()
    assert steps == [(step, 450) for step in range(1, 451)]
    assert (lay_out(points) == places).all()
    assert not (lay_out(points, replace(LayoutConfig(), seed=1)) == places).all()


def test_near_points_stay_near(vectors: Vectors) -> None:
    places = lay_out(Space.fitted(vectors).of(vectors))
    by_components = Space.fitted(vectors, 2).of(vectors)
    assert kept(vectors, places) > 1.5 * kept(vectors, by_components)
    assert kept(vectors, spread(places)) > 0.25


@pytest.mark.parametrize("count", [LEAST, LEAST + 1, 17, 40])
def test_few_points_are_laid_out(count: int) -> None:
    vectors = clustered(np.random.default_rng(1), count, clusters=3)
    places = spread(lay_out(Space.fitted(vectors).of(vectors)))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == count


def test_equal_points_are_laid_out() -> None:
    vectors = np.tile(clustered(np.random.default_rng(2), 1), (80, 1))
    places = spread(lay_out(Space.fitted(vectors).of(vectors)))
    assert np.isfinite(places).all()


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="9 points are too few"):
        lay_out(np.zeros((9, 4), np.float32))


def test_a_space_keeps_distances_where_it_has_all_components(vectors: Vectors) -> None:
    points = Space.fitted(vectors).of(vectors)
    assert points.shape == (600, 24)
    ours, theirs = (np.linalg.norm(rows[:50, None] - rows[None, :50], axis=2) for rows in (vectors, points))
    assert np.allclose(ours, theirs, atol=1e-4)
    assert (np.diff(points.var(axis=0)) <= 1e-6).all()


def test_narrower_gaps_keep_the_order_along_each_axis() -> None:
    places = np.array([[0, 0], [1, 5], [2, 1], [100, 2]], np.float32)
    made = spread(places)
    assert [np.argsort(made[:, axis]).tolist() for axis in (0, 1)] == [[0, 1, 2, 3], [0, 2, 3, 1]]
    assert made[3, 0] - made[2, 0] < 0.7


def test_others_are_placed_by_the_nearest_the_nearer_the_weightier() -> None:
    points = np.array([[0, 0], [2, 0], [10, 0], [20, 0], [30, 0]], np.float32)
    places = np.array([[0, 0], [1, 0], [5, 5], [9, 9], [0, 9]], np.float32)
    placed = Placer(points, places, many=False).place(np.array([[1, 0], [10, 0]], np.float32))
    # of the first, squared distances 1, 1, 81, 361 to the first four; the second lies on a point
    weights = np.array([1, 1, 1 / 81, 1 / 361])
    assert np.allclose(placed[0], weights @ places[:4] / weights.sum(), atol=1e-5)
    assert np.allclose(placed[1], [5, 5], atol=1e-4)


def test_many_are_placed_about_as_if_all_were_compared() -> None:
    rng = np.random.default_rng(3)
    points = clustered(rng, 40 * LISTS, dim=8, clusters=100)
    places = rng.standard_normal((len(points), 2)).astype(np.float32)
    new = points[:500] + np.float32(1e-4)
    assert np.abs(Placer(points, places, many=True).place(new) - places[:500]).max() < 0.05


def test_clusters_are_numbered_by_size_and_those_without_are_0() -> None:
    members = np.array([7, 7, 3, -1, 5, 5, 5, 3, 9], np.int32)
    assert clusters.numbered(members).tolist() == [2, 2, 3, 0, 1, 1, 1, 3, 4]


def test_clusters_are_those_that_the_points_were_drawn_of() -> None:
    rng = np.random.default_rng(4)
    centres = 10 * rng.standard_normal((5, 6))
    own = np.repeat(np.arange(5), [90, 70, 50, 30, 10])
    points = (centres[own] + 0.1 * rng.standard_normal((250, 6))).astype(np.float32)
    found = clusters.found(points, points[:, :2].copy(), 5, "kmeans")
    assert found.tolist() == (own + 1).tolist()
    assert clusters.found(points, points[:, :2].copy(), 5, "kmeans").tolist() == found.tolist()


def test_clusters_by_density_leave_out_what_lies_alone() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    rng = np.random.default_rng(5)
    places = np.concatenate([rng.normal(0, 0.1, (60, 2)), rng.normal(5, 0.1, (40, 2)), [[50, 50]]]).astype(np.float32)
    found = clusters.found(places, places, 2, "hdbscan")
    assert (found[:60].tolist(), found[60:100].tolist(), found[100]) == ([1] * 60, [2] * 40, 0)


def test_without_scikit_learn_clusters_by_density_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    places = np.zeros((20, 2), np.float32)
    with pytest.raises(MapError, match=r"need scikit-learn.*mmsearch\[map\]") as caught:
        clusters.found(places, places, 2, "hdbscan")
    assert caught.value.code == "no-hdbscan"


@pytest.mark.parametrize(("photos", "count"), [(10, 2), (100, 5), (7000, 42), (50_000, 112), (1_000_000, 200)])
def test_how_many_clusters_there_are(photos: int, count: int) -> None:
    assert clusters.wanted(photos) == count


def test_nearest_are_those_that_all_comparisons_find(vectors: Vectors) -> None:
    squared, found = nearest(vectors, vectors[:20], 5)
    expected = np.square(vectors[:20, None] - vectors[None]).sum(axis=2)
    assert np.allclose(squared, np.sort(expected, axis=1)[:, :5], atol=1e-5)
    assert (found[:, 0] == np.arange(20)).all()
