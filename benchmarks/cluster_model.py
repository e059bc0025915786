"""What many machines would do, by simulation: nothing of it was run on more than one machine.

    python -m benchmarks.cluster_model [--table] [--items 1000000000] [--engine memory|pgvector|milvus] [--quick] …

Measured are, on this machine and at once: searches of the files of this machine (``indexes/``) over drawn rows at
several numbers of rows, encoding a text, and photos a second of processor time of an index run over drawn photos.  How
searches grow with more rows is taken from "Which index" and "Ten million" in docs/performance.md: straight lines on
logarithmic scales between three medians, and on behind them.  Of pgvector and Milvus the median and the 99th percentile
of "Side by side" in docs/scale.md are taken, as a lognormal, and are assumed to grow with rows in the same way.

Everything else is assumed; each assumption is an option (``--help`` has them with units and defaults).

The result is one JSON line; ``--table`` prints tables for people in its place.  For each number of shards and replicas:
``p50_ms``, ``p99_ms`` of searches; shares of them that are ``whole``, ``partial`` or ``failed``; ``per_second`` that
were answered at ``--load`` of what the servers can do, while all work; ``asked`` requests a shard and search then;
``down_hours_a_year`` in which some shard has no server at all.  For encoding: ``days`` by workers, and what share of
their time preemptions cost (``lost``).  The simulations are in ``simulated_cluster.py``, and ``tests/benchmarks`` holds
them against closed forms.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import simulated_cluster as simulated
from benchmarks.common import report
from benchmarks.engines import K, asked, drawn, embedded
from benchmarks.million import draw
from benchmarks.simulated_cluster import Answers, Draw, Fleet, Floats, Nodes, Rules
from mmsearch.encoders import factory
from mmsearch.language.prompts import scenes
from mmsearch.library.opening import open_library

# docs/performance.md, "Which index" and "Ten million": rows -> milliseconds of one search, medians, recall 0.95 asked
DOCUMENTED = {100_000: 0.64, 1_000_000: 1.73, 10_000_000: 4.5}
# docs/scale.md, "Side by side", 200,000 rows: median and 99th percentile, milliseconds
ENGINES = {"pgvector": (4.1, 6.5), "milvus": (4.7, 13.0)}
ENGINE_ROWS = 200_000
DIM = 512
WARM = 8  # photos that are indexed before the clock starts
HOURS_A_YEAR = 8766.0
MOMENTS = 50_000  # at which the servers are looked at …
ODD = 30  # … and so many are searched at of those with one that failed unnoticed, and of those with one that is away


def _assumed(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Assumptions:
    """What is not measured."""

    items: int = _assumed(1_000_000_000, "items in all, shared out evenly")
    cores: int = _assumed(8, "cores of a server that searches; one search takes one")
    load: float = _assumed(0.5, "searches that come, as a share of what the servers can do")
    trip_ms: float = _assumed(0.5, "there and back between two machines, median, milliseconds")
    trip_99_ms: float = _assumed(5.0, "the same, 99th percentile")
    hedge_ms: float = _assumed(0.0, "ask another replica after so many milliseconds; 0 never, -1 after what 95 %% need")
    limit_ms: float = _assumed(500.0, "an answer is given after so many milliseconds, with what has come")
    partial: int = _assumed(1, "1: without what has not come; 0: none at all")
    failures_per_hour: float = _assumed(1 / 2190, "of a server; the default is one in three months")
    repair_hours: float = _assumed(1.0, "until a server that failed has its shard again")
    notice_seconds: float = _assumed(15.0, "until nobody asks a server that failed")
    years: float = _assumed(200.0, "of outages that are simulated")
    photos_per_core_second: float = _assumed(0.0, "of an index run; 0 takes what is measured here")
    text_ms: float = _assumed(0.0, "to encode a text, milliseconds; 0 takes what is measured here")
    worker_cores: int = _assumed(8, "cores of a worker that encodes")
    batch: int = _assumed(128, "items that a worker stores together")
    preemptions_per_hour: float = _assumed(0.05, "of a worker")
    restart_hours: float = _assumed(0.1, "until another worker is there")


def growth(rows: float) -> float:
    """Milliseconds of one search over so many rows, by lines through those of the docs."""
    places, values = np.log(list(DOCUMENTED)), np.log(list(DOCUMENTED.values()))
    at = math.log(rows)
    first, last = (float((values[n + 1] - values[n]) / (places[n + 1] - places[n])) for n in (0, len(places) - 2))
    beside = min(0.0, at - float(places[0])) * first + max(0.0, at - float(places[-1])) * last
    return math.exp(beside + float(np.interp(at, places, values)))


@dataclass(frozen=True)
class Measured:
    """What was measured, here or in docs/."""

    samples: dict[int, Floats]  # rows -> milliseconds of single searches
    text_ms: float  # to encode a text
    photos_per_core_second: float  # of an index run, by processor time

    def median(self, rows: float) -> float:
        """Milliseconds of one search over so many rows of the files of this machine."""
        most = max(self.samples)
        if rows > most:
            return float(np.median(self.samples[most])) * growth(rows) / growth(most)
        places = np.log(list(self.samples))
        values = np.log([float(np.median(times)) for times in self.samples.values()])
        few = min(0.0, math.log(rows) - float(places[0]))  # fewer are compared one by one
        return math.exp(few + float(np.interp(math.log(rows), places, values)))

    def service(self, rng: np.random.Generator, engine: str, rows: float) -> Draw:
        """Milliseconds of searches of one shard of so many rows."""
        if engine == "memory":
            nearest = max(self.samples)
            scale = self.median(rows) / float(np.median(self.samples[nearest]))
            return simulated.from_samples(rng, self.samples[nearest] * scale)
        grown = growth(rows) / growth(ENGINE_ROWS)
        middle, slow = ENGINES[engine]
        return simulated.lognormal(rng, middle * grown, slow * grown)


def measure(rows: list[int], searches: int, photos: int) -> Measured:
    """All that is measured here."""
    samples = {count: _search_times(count, searches) for count in sorted(rows)}
    encoder = factory.embedded()
    texts = scenes()[:50]
    encoder.encode_texts(texts[:1])
    taken = []
    for text in texts:
        begun = time.perf_counter()
        encoder.encode_texts([text])
        taken.append(1000 * (time.perf_counter() - begun))
    return Measured(samples, float(np.median(taken)), _photos_per_core_second(photos))


def _search_times(rows: int, searches: int) -> Floats:
    rng = np.random.default_rng(0)
    vectors = drawn(rng, rows, DIM)
    queries = asked(rng, vectors, searches + 96)
    with embedded(np.arange(1, rows + 1), vectors, queries[searches:]) as (index, _):
        index.search(queries[:1], K)
        times = []
        for query in queries[:searches]:
            begun = time.perf_counter()
            index.search(query[None], K)
            times.append(1000 * (time.perf_counter() - begun))
    return np.asarray(times)


def _photos_per_core_second(count: int) -> float:
    """Of ``library.index`` over photos of 640 x 480, by the processor time of this process and those that it starts."""
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch) / "warm", WARM)
        draw(Path(scratch) / "photos", WARM + count)  # the first ones are those of before, and not encoded again
        with open_library(Path(scratch) / "library") as library:
            library.index(Path(scratch) / "warm")  # loads the model
            begun = os.times()
            added = library.index(Path(scratch) / "photos").encoded
            ended = os.times()
    return added / sum(after - before for before, after in zip(begun[:4], ended[:4], strict=True))


def searches(
    rng: np.random.Generator, measured: Measured, engine: str, given: Assumptions, size: tuple[int, int], count: int
) -> dict[str, Any]:
    """Figures of so many shards and replicas, ``size``, by ``count`` searches."""
    fleet = Fleet(*size, given.cores)
    service = measured.service(rng, engine, given.items / fleet.shards)
    trip = simulated.lognormal(rng, given.trip_ms, given.trip_99_ms)
    mean = float(service(20_000).mean())
    capacity = 1000 * fleet.replicas * fleet.cores / mean  # searches a second: each asks one replica of every shard
    slow = float(np.percentile(service(20_000) + trip(20_000), 95))
    hedge = {0.0: None, -1.0: slow}.get(given.hedge_ms, given.hedge_ms)
    rules = Rules(hedge, given.limit_ms, bool(given.partial))
    hours = given.years * HOURS_A_YEAR
    histories = [
        simulated.outages(rng, hours, given.failures_per_hour, given.repair_hours)
        for _ in range(fleet.shards * fleet.replicas)
    ]
    per_second = given.load * capacity
    nodes = _moments(rng, fleet, histories, hours, given.notice_seconds / 3600)
    silent, away = (part.any(axis=(1, 2)) for part in (nodes.silent, nodes.away))
    each = [_run(rng, fleet, (service, trip), rules, simulated.all_up(fleet), (count, per_second))]
    weights = [np.full(count, float((~silent & ~away).mean()) / count)]
    few = max(20, count // ODD)
    for odd in (silent, away & ~silent):  # moments at which some server does not work
        picked = np.flatnonzero(odd)[:ODD]
        for one in picked:
            there_are = Nodes(nodes.silent[one], nodes.away[one])
            each.append(_run(rng, fleet, (service, trip), rules, there_are, (few, per_second)))
            weights.append(np.full(few, float(odd.mean()) / len(picked) / few))
    usual, weight = each[0], np.concatenate(weights)
    ms = np.concatenate([one.ms for one in each])
    whole = np.concatenate([one.whole for one in each])
    there = np.isfinite(ms)
    down = 1 - math.prod(
        simulated.share_with(histories[n * fleet.replicas : (n + 1) * fleet.replicas], hours, 1)
        for n in range(fleet.shards)
    )
    return {
        "shards": fleet.shards,
        "replicas": fleet.replicas,
        "rows_a_shard": round(given.items / fleet.shards),
        "shard_ms": round(mean, 2),
        "p50_ms": round(measured.text_ms + _quantile(ms, weight, 0.5), 1),
        "p99_ms": round(measured.text_ms + _quantile(ms, weight, 0.99), 1),
        "whole": round(float(weight[whole].sum()), 6),
        "partial": round(float(weight[there & ~whole].sum()), 6),
        "failed": round(float(weight[~there].sum()), 6),
        "capacity_per_second": round(capacity, 1),
        "per_second": round(float(usual.given.sum()) / usual.seconds, 1),
        "asked": round(usual.requests / (count * fleet.shards), 3),
        "down_hours_a_year": round(down * HOURS_A_YEAR, 3),
    }


def _moments(
    rng: np.random.Generator, fleet: Fleet, histories: list[simulated.Outages], hours: float, notice: float
) -> Nodes:
    """The servers as they are at many moments of their histories, (moments, shards, replicas)."""
    at = rng.random(MOMENTS) * hours
    silent, away = (np.zeros((MOMENTS, len(histories)), bool) for _ in range(2))
    for number, one in enumerate(histories):
        down, since = one.down(at)
        silent[:, number], away[:, number] = down & (since < notice), down & (since >= notice)
    shape = (MOMENTS, fleet.shards, fleet.replicas)
    return Nodes(silent.reshape(shape), away.reshape(shape))


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """Of values that count so much; infinite where they are."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), share * weights.sum())])


def _run(
    rng: np.random.Generator, fleet: Fleet, draws: tuple[Draw, Draw], rules: Rules, nodes: Nodes, of: tuple[int, float]
) -> Answers:
    """``of``: how many searches, and how many of them come a second."""
    arrivals = np.cumsum(rng.exponential(1000 / of[1], of[0]))
    return simulated.search(rng, fleet, arrivals, *draws, rules, nodes)


def encoding(rng: np.random.Generator, measured: Measured, given: Assumptions, workers: int) -> dict[str, Any]:
    """Days until all items are encoded."""
    per_hour = 3600 * measured.photos_per_core_second * given.worker_cores
    losses = (given.preemptions_per_hour, given.restart_hours)
    hours = simulated.encoding_hours(rng, given.items, workers, per_hour, given.batch, losses)
    alone = given.items / (workers * per_hour)
    return {"workers": workers, "days": round(hours / 24, 2), "lost": round(1 - alone / hours, 4)}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows under their names, with columns as wide as they need."""
    shown = [[f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()] for row in rows]
    cells = [list(rows[0]), *shown]
    wide = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, wide, strict=True)) for line in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="tables for people, in place of the JSON line")
    parser.add_argument("--quick", action="store_true", help="few rows, photos and searches: to see that it works")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("memory", *ENGINES), default="memory", help="who searches a shard")
    parser.add_argument("--shards", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--searches", type=int, default=4_000, help="that are simulated for each size")
    for one in dataclasses.fields(Assumptions):
        kind = int if isinstance(one.default, int) else float
        shown = f"{one.metadata['help']} (default: {one.default:g})"
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default, help=shown)
    options = parser.parse_args()
    given = Assumptions(**{one.name: getattr(options, one.name) for one in dataclasses.fields(Assumptions)})
    measured = measure([2_000, 4_000], 20, 16) if options.quick else measure([20_000, 50_000, 200_000], 200, 300)
    used = dataclasses.replace(
        measured,
        text_ms=given.text_ms or measured.text_ms,
        photos_per_core_second=given.photos_per_core_second or measured.photos_per_core_second,
    )
    count = 200 if options.quick else options.searches
    sizes = [(shards, replicas) for shards in options.shards for replicas in options.replicas]
    rng = np.random.default_rng(options.seed)
    found = [searches(rng, used, options.engine, given, size, count) for size in sizes]
    workers = [encoding(rng, used, given, number) for number in options.workers]
    here = {
        "search_ms": {str(rows): round(float(np.median(times)), 3) for rows, times in measured.samples.items()},
        "text_ms": round(measured.text_ms, 2),
        "photos_per_core_second": round(measured.photos_per_core_second, 2),
    }
    if options.table:
        print(f"Measured here: {here}\nAssumed: {dataclasses.asdict(given)}\n")
        print(f"Simulated searches ({options.engine}):\n{table(found)}\n\nSimulated encoding:\n{table(workers)}")
        return
    assumed = {"engine": options.engine, "seed": options.seed, **dataclasses.asdict(given)}
    report("cluster_model", {"measured": here, "assumed": assumed, "searches": found, "encoding": workers})


if __name__ == "__main__":
    main()
