"""A map as pages draw it: points in the order of their clusters, places in 16 bits, all of it as JSON takes it.

A million points take four bytes each, and a third more as base64.  ``static/atlasdata.js`` reads it.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.manage.map.layout import Plane
from mmsearch.store.kept_map import KeptMap
from mmsearch.types import Ids

EDGE = 65_535  # of the square that places are given in


def order(kept: KeptMap) -> Ids:
    """The rows of a map as its points are numbered: by cluster, those without one last, then by id."""
    of = np.where(kept.of == 0, len(kept.clusters) + 1, kept.of)
    rows: Ids = np.argsort(of, kind="stable")
    return rows


def quantised(places: Plane) -> NDArray[np.uint16]:
    """Places (n, 2) from 0 to ``EDGE``, the wider side filling it; the few outermost may lie at its edge."""
    low, high = np.quantile(places, 0.0005, axis=0), np.quantile(places, 0.9995, axis=0)
    middle, side = (low + high) / 2, max(float((high - low).max()), 1e-6) * 1.04
    scaled = np.clip((places - middle) / side + 0.5, 0, 1) * EDGE
    scaled[:, 1] = EDGE - scaled[:, 1]  # screens count from above
    return np.round(scaled).astype(np.uint16)


def drawn(kept: KeptMap) -> dict[str, Any]:
    """What both the file and the tab of the server draw: places, and the clusters with where their names stand."""
    rows = order(kept)
    places = quantised(kept.places)[rows]
    of = kept.of[rows]
    clusters = []
    for one in kept.clusters:
        first, after = np.searchsorted(of[: _with_cluster(of)], [one.number, one.number + 1]).tolist()
        at = anchor(places[first:after]) if after > first else (0, 0)
        clusters.append(
            {"number": one.number, "name": one.name, "first": first, "size": after - first, "x": at[0], "y": at[1]}
        )
    return {"points": len(rows), "places": packed(places, "<u2"), "clusters": clusters, "generation": kept.generation}


def _with_cluster(of: NDArray[np.int32]) -> int:
    """How many points have a cluster: those without come last."""
    return int(np.count_nonzero(of))


def anchor(places: NDArray[np.uint16]) -> tuple[int, int]:
    """Where a cluster's name stands: the point nearest to the middle of its densest part."""
    cell = EDGE // 32
    keys = (places[:, 0] // cell).astype(np.int64) * 64 + places[:, 1] // cell
    values, counts = np.unique(keys, return_counts=True)
    dense = places[keys == values[counts.argmax()]].astype(np.float64)
    middle = np.median(dense, axis=0)
    x, y = dense[np.square(dense - middle).sum(axis=1).argmin()]
    return int(x), int(y)


def packed(values: NDArray[Any], dtype: str) -> str:
    """Little-endian numbers in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")


def evenly(kept: KeptMap, most: int) -> Ids:
    """At most ``most`` points, ascending, evenly over the clusters and over the plane within each."""
    rows = order(kept)
    if len(rows) <= most:
        return np.arange(len(rows))
    places = quantised(kept.places)[rows].astype(np.int64)
    of = kept.of[rows]
    along = np.lexsort((_interleaved(places), of))
    chosen: Ids = np.sort(along[np.linspace(0, len(rows) - 1, most).astype(np.int64)])
    return chosen


def _interleaved(places: Ids) -> Ids:
    """The bits of both coordinates in turn (Morton order): what is near in it is near on the plane."""
    code = np.zeros(len(places), np.int64)
    for bit in range(16):
        code |= ((places[:, 0] >> bit) & 1) << (2 * bit) | ((places[:, 1] >> bit) & 1) << (2 * bit + 1)
    return code
