"""The simulations behind ``cluster_model.py``: searches over shards and replicas, nodes that fail, workers that encode.

Nothing here measures: times come in, times go out.  Searches are events in milliseconds (a heap); outages and encoding
are drawn as whole histories in hours.  Their time scales are a million times apart, so searches meet the nodes as they
are at one moment of such a history.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Draw = Callable[[int], Floats]  # how many -> so many times

_ARRIVES, _ENDS, _HEDGE = range(3)
_BLOCK = 4096


@dataclass(frozen=True)
class Fleet:
    """Servers that search: each holds one shard, ``replicas`` hold the same."""

    shards: int
    replicas: int
    cores: int  # searches that a server does at once; others wait in line


@dataclass(frozen=True)
class Rules:
    """What who asks does where an answer is slow.  Milliseconds."""

    hedge_ms: float | None = None  # after so long another replica is asked too; None never
    limit_ms: float = math.inf  # after so long an answer is given without the shards that are missing …
    partial: bool = True  # … or, where this is off, none


@dataclass(frozen=True)
class Nodes:
    """How the servers are at one moment, (shards, replicas)."""

    silent: Bools  # failed, and nobody has noticed: it is asked and does not answer
    away: Bools  # failed, and not asked


@dataclass(frozen=True)
class Answers:
    """What became of searches, each (searches,)."""

    ms: Floats  # until the answer; infinite where there was none
    shards: Floats  # share of shards in it, 0 to 1
    seconds: float  # from the first search to the last answer
    requests: int  # that were sent to servers

    @property
    def whole(self) -> Bools:
        return np.asarray(np.isfinite(self.ms) & (self.shards == 1))

    @property
    def given(self) -> Bools:
        return np.asarray(np.isfinite(self.ms))


def all_up(fleet: Fleet) -> Nodes:
    none = np.zeros((fleet.shards, fleet.replicas), bool)
    return Nodes(none, none)


def lognormal(rng: np.random.Generator, p50: float, p99: float) -> Draw:
    """Times with this median and this 99th percentile."""
    spread = math.log(p99 / p50) / 2.3263478740408408  # the 99th percentile of a standard normal
    return lambda count: p50 * np.exp(spread * rng.standard_normal(count))


def from_samples(rng: np.random.Generator, samples: Floats) -> Draw:
    """Times that were measured, drawn with replacement."""
    return lambda count: np.asarray(rng.choice(samples, count), np.float64)


def _stream(draw: Draw) -> Iterator[float]:
    while True:
        yield from draw(_BLOCK).tolist()


def search(
    rng: np.random.Generator, fleet: Fleet, arrivals: Floats, service: Draw, trip: Draw, rules: Rules, nodes: Nodes
) -> Answers:
    """Each search asks one replica of every shard, and waits for all of them.

    ``arrivals`` (searches,) ascending, ``service`` (of one shard, without waiting) and ``trip`` (there and back) are
    milliseconds.  A request that is not wanted any more is worked on all the same, as servers do.
    """
    line = _Line(rng, fleet, service, trip, rules, nodes)
    came, requests = line.run(arrivals.tolist())
    asked = ~nodes.away.all(axis=1)  # a shard whose servers are all known to be away is not waited for
    until = np.full(len(arrivals), 0.0) if not asked.any() else (came[:, asked] - arrivals[:, None]).max(axis=1)
    there = np.isfinite(came) & (came - arrivals[:, None] <= rules.limit_ms)
    ms, share = np.minimum(until, rules.limit_ms), there.mean(axis=1)
    ms[(share == 0) | ((share < 1) & (not rules.partial))] = math.inf
    last = float(np.max(arrivals + np.where(np.isfinite(ms), ms, 0), initial=0))
    return Answers(ms, share, (last - float(arrivals[0])) / 1000, requests)


class _Line:
    """The events of one run."""

    def __init__(
        self, rng: np.random.Generator, fleet: Fleet, service: Draw, trip: Draw, rules: Rules, nodes: Nodes
    ) -> None:
        self._fleet, self._rules = fleet, rules
        self._service, self._trip = _stream(service), _stream(trip)
        self._chance = _stream(lambda count: rng.random(count))
        self._silent = nodes.silent.ravel().tolist()
        each = range(fleet.replicas)
        self._listed = [
            [shard * fleet.replicas + one for one in each if not nodes.away[shard, one]]
            for shard in range(fleet.shards)
        ]
        self._busy = [0] * (fleet.shards * fleet.replicas)
        self._waiting: list[deque[int]] = [deque() for _ in self._busy]
        self._events: list[tuple[float, int, int, int, int]] = []  # time, order, kind, server, request
        self._order = self._requests = 0

    def run(self, arrivals: list[float]) -> tuple[Floats, int]:
        """When each shard's answer came, (searches, shards), infinite where it never does; and requests sent."""
        shards, cores = self._fleet.shards, self._fleet.cores
        events, busy, waiting = self._events, self._busy, self._waiting
        came = [math.inf] * (len(arrivals) * shards)
        following = 0
        while events or following < len(arrivals):
            if following < len(arrivals) and (not events or arrivals[following] <= events[0][0]):
                for shard in range(shards):
                    self._ask(arrivals[following], following * shards + shard, shard)
                following += 1
                continue
            now, _, kind, server, request = heapq.heappop(events)
            if kind == _ARRIVES:
                if self._silent[server]:
                    continue
                if busy[server] < cores:
                    busy[server] += 1
                    self._later(now + next(self._service), _ENDS, server, request)
                else:
                    waiting[server].append(request)
            elif kind == _ENDS:
                came[request] = min(came[request], now + next(self._trip) / 2)
                if waiting[server]:
                    self._later(now + next(self._service), _ENDS, server, waiting[server].popleft())
                else:
                    busy[server] -= 1
            elif came[request] > now:  # nothing has come yet
                self._ask_another(now, request, server)
        return np.asarray(came).reshape(len(arrivals), shards), self._requests

    def _ask(self, now: float, request: int, shard: int) -> None:
        listed = self._listed[shard]
        if not listed:
            return
        server = listed[int(next(self._chance) * len(listed))]
        self._send(now, server, request)
        if self._rules.hedge_ms is not None and len(listed) > 1:
            self._later(now + self._rules.hedge_ms, _HEDGE, server, request)

    def _ask_another(self, now: float, request: int, first: int) -> None:
        others = [server for server in self._listed[request % self._fleet.shards] if server != first]
        self._send(now, others[int(next(self._chance) * len(others))], request)

    def _send(self, now: float, server: int, request: int) -> None:
        self._requests += 1
        self._later(now + next(self._trip) / 2, _ARRIVES, server, request)

    def _later(self, at: float, kind: int, server: int, request: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, kind, server, request))


@dataclass(frozen=True)
class Outages:
    """One node's history: it is down from ``begins`` to ``ends``, hours, ascending."""

    begins: Floats
    ends: Floats

    def down(self, at: Floats) -> tuple[Bools, Floats]:
        """Whether it is down at these hours, and for how long it has been."""
        if not len(self.begins):
            return np.zeros(len(at), bool), np.full(len(at), math.inf)
        last = np.searchsorted(self.begins, at, side="right") - 1
        latest = np.maximum(last, 0)
        down = (last >= 0) & (at < self.ends[latest])
        since = np.where(last >= 0, at - self.begins[latest], math.inf)
        return down, since


def outages(rng: np.random.Generator, hours: float, failures_per_hour: float, repair_hours: float) -> Outages:
    """A node that works for an exponential time, fails, and is repaired in an exponential time, over and over."""
    if not failures_per_hour:
        return Outages(np.zeros(0), np.zeros(0))
    begins, ends, now = [], [], 0.0
    while now < hours:
        count = int((hours - now) * failures_per_hour * 1.1) + 16
        pairs = np.column_stack([rng.exponential(1 / failures_per_hour, count), rng.exponential(repair_hours, count)])
        edges = now + np.cumsum(pairs.ravel()).reshape(count, 2)
        begins.append(edges[:, 0])
        ends.append(edges[:, 1])
        now = float(edges[-1, 1])
    return Outages(np.concatenate(begins), np.concatenate(ends))


def share_with(histories: list[Outages], hours: float, least: int) -> float:
    """The share of time in which at least ``least`` of these nodes work."""
    begins = np.concatenate([np.zeros(0), *(one.begins for one in histories)])
    ends = np.concatenate([np.zeros(0), *(one.ends for one in histories)])
    times, changes = np.concatenate([begins, ends]), np.concatenate([-np.ones(len(begins)), np.ones(len(ends))])
    order = np.argsort(times, kind="stable")
    times, up = np.minimum(times[order], hours), len(histories) + np.cumsum(changes[order])
    edges = np.concatenate([[0.0], times, [hours]])
    working = np.concatenate([[len(histories)], up])
    return float(np.sum(np.diff(edges) * (working >= least)) / hours)


def encoding_hours(
    rng: np.random.Generator, items: int, workers: int, per_hour: float, batch: int, losses: tuple[float, float]
) -> float:
    """Hours until ``items`` are encoded by ``workers`` that encode ``per_hour`` each, and are taken away now and then.

    ``losses`` are preemptions an hour of a worker, and hours until another one is there.  A batch counts once all of it
    is stored, so what a worker did of one when it was taken away is done anew.
    """
    rate, gone = losses
    if not rate:
        return items / (workers * per_hour)
    hours = 1.0
    while True:
        hours *= 1.5
        histories = [outages(rng, hours, rate, gone) for _ in range(workers)]
        if sum(_done(one, hours, per_hour, batch) for one in histories) >= items:
            break
    least, most = 0.0, hours
    while most - least > 1e-4 * most:
        middle = (least + most) / 2
        enough = sum(_done(one, middle, per_hour, batch) for one in histories) >= items
        least, most = (least, middle) if enough else (middle, most)
    return most


def _done(history: Outages, hours: float, per_hour: float, batch: int) -> float:
    """Items that a worker with this history has stored by then."""
    begins = np.concatenate([[0.0], history.ends])
    ends = np.concatenate([history.begins, [math.inf]])
    worked = np.clip(np.minimum(ends, hours) - begins, 0, None)
    return float(np.sum(np.floor(worked * per_hour / batch)) * batch)
