"""Bursts: shots of one scene that were taken within seconds, by the clock of the camera."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsearch.search.diversity import SPAN
from mmsearch.types import Found, Ids, Vectors

CROWD = 300  # files of a folder with times within SPAN: nobody takes 30 a second for so long


class Content(Protocol):
    """What is known of a picture."""

    @property
    def files(self) -> tuple[Found, ...]: ...

    @property
    def taken_at(self) -> datetime | None: ...


class Files(Protocol):
    """The files of contents that are as they were indexed."""

    def of(self, row: int) -> tuple[Found, ...]: ...


def taken_at(contents: Sequence[Content]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """When the shots were taken by the clock of the camera, in seconds, NaN where it does not say; with fractions?"""
    times = [one.taken_at for one in contents]
    seconds = np.array([np.nan if time is None else _seconds(time) for time in times], np.float64)
    return seconds, np.array([time is not None and time.microsecond > 0 for time in times], np.bool_)


def _seconds(local: datetime) -> float:
    return (local.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


def bursts(contents: Sequence[Content], vectors: Vectors, files: Files, near: Ids, least: float) -> Ids:
    """As ``near``, where the best of each burst stands for the others too."""
    later: dict[int, set[int]] = {}
    for left, right in _at_once(contents):
        first, second = sorted((int(near[left]), int(near[right])))
        if first != second:
            later.setdefault(first, set()).add(second)
    heads = np.arange(len(contents))
    for head in sorted(later):
        if heads[head] != head or not files.of(head):
            continue
        others = np.array(sorted(other for other in later[head] if heads[other] == other), np.int64)
        others = others[vectors[others] @ vectors[head] >= least]
        heads[[other for other in others.tolist() if files.of(other)]] = head
    return heads[near]


def _at_once(contents: Sequence[Content]) -> Iterator[tuple[int, int]]:
    """Rows of contents that have files in one folder and were taken within ``SPAN`` by the camera's clock.

    When a file was written says nothing: screenshots are made and downloads arrive within seconds.  Nor do the times of
    a clock that stood still, which too many files have.
    """
    folders: dict[str, list[tuple[float, int]]] = {}
    for row, one in enumerate(contents):
        if one.taken_at is not None:
            for file in one.files:
                folders.setdefault(os.path.dirname(file.path), []).append((_seconds(one.taken_at), row))
    for found in folders.values():
        found.sort()
        times = np.array([time for time, _ in found])
        ends = np.searchsorted(times, times + SPAN, "right")
        crowded = ends - np.searchsorted(times, times - SPAN, "left") > CROWD
        for first in np.flatnonzero(~crowded).tolist():
            row = found[first][1]
            for other in range(first + 1, int(ends[first])):
                if not crowded[other] and found[other][1] != row:
                    yield row, found[other][1]
