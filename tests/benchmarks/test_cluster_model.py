"""The simulation of many machines agrees with closed forms where there are some, and says what its options mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import cluster_model
from benchmarks.cluster_model import Assumptions, Measured
from benchmarks.simulated_cluster import (
    Answers,
    Draw,
    Fleet,
    Nodes,
    Outages,
    Rules,
    all_up,
    encoding_hours,
    lognormal,
    outages,
    search,
    share_with,
)


def exponential(rng: np.random.Generator, mean: float) -> Draw:
    return lambda count: rng.exponential(mean, count)


def nothing(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.zeros(count)


def run(fleet: Fleet, gap: float, count: int, rules: Rules | None = None, nodes: Nodes | None = None) -> Answers:
    """Searches of 1 ms on average that come ``gap`` milliseconds apart on average, without a network."""
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(gap, count))
    return search(rng, fleet, arrivals, exponential(rng, 1.0), nothing, rules or Rules(), nodes or all_up(fleet))


@pytest.mark.parametrize("shards", [1, 4, 32])
def test_the_slowest_of_n_exponential_times_is_a_harmonic_sum(shards: int) -> None:
    answers = run(Fleet(shards, 1, 1), 1000, 6_000)
    assert answers.whole.all()
    assert answers.ms.mean() == pytest.approx(sum(1 / n for n in range(1, shards + 1)), rel=0.03)


@pytest.mark.parametrize(("cores", "load"), [(1, 0.5), (3, 0.8), (8, 0.9)])
def test_waiting_in_line_is_that_of_erlang(cores: int, load: float) -> None:
    """M/M/c: the mean wait is C / (c - a) for work that comes at ``a`` and takes 1 on average."""
    offered = cores * load
    blocked = offered**cores / math.factorial(cores) / (1 - load)
    waits = blocked / (sum(offered**n / math.factorial(n) for n in range(cores)) + blocked)
    answers = run(Fleet(1, 1, cores), 1 / offered, 120_000)
    assert answers.ms[5_000:].mean() == pytest.approx(1 + waits / (cores - offered), rel=0.05)
    assert len(answers.ms) / answers.seconds == pytest.approx(1000 * offered, rel=0.02)


def test_work_is_shared_out_over_replicas() -> None:
    """Chosen by chance, each of two replicas is a line of its own, M/M/1 at half the arrivals."""
    answers = run(Fleet(1, 2, 1), 1 / 1.2, 120_000)
    assert answers.ms[5_000:].mean() == pytest.approx(1 / (1 - 0.6), rel=0.05)


@pytest.mark.parametrize(("least", "of"), [(1, 1), (1, 2), (2, 3), (5, 6)])
def test_the_share_of_time_with_k_of_n_nodes_is_binomial(least: int, of: int) -> None:
    rng, hours = np.random.default_rng(0), 4_000_000.0
    works = 100 / (100 + 25)  # an outage of 25 hours each 100
    share = sum(math.comb(of, n) * works**n * (1 - works) ** (of - n) for n in range(least, of + 1))
    histories = [outages(rng, hours, 1 / 100, 25.0) for _ in range(of)]
    assert share_with(histories, hours, least) == pytest.approx(share, abs=0.004)
    at = rng.random(20_000) * hours
    down = np.stack([one.down(at)[0] for one in histories])
    assert ((of - down.sum(axis=0)) >= least).mean() == pytest.approx(share, abs=0.015)


def test_a_history_says_since_when_a_node_is_down() -> None:
    down, since = Outages(np.array([2.0, 10.0]), np.array([3.0, 14.0])).down(np.array([1.0, 2.5, 5.0, 13.0]))
    assert down.tolist() == [False, True, False, True]
    assert since[down].tolist() == [0.5, 3.0]
    assert share_with([outages(np.random.default_rng(0), 100, 0, 1)], 100, 1) == 1


def test_encoding_with_preemptions_takes_as_long_as_the_renewal_theorem_says() -> None:
    """Of an exponential time, whole batches are 1 / (e^x - 1), where x is the share of a batch in it."""
    rate, gone, per_hour, batch = 0.5, 0.25, 1_000.0, 400
    stored = batch / math.expm1(rate * batch / per_hour)  # on average, between two preemptions
    expected = 40_000_000 / (20 * stored / (1 / rate + gone))
    hours = encoding_hours(np.random.default_rng(0), 40_000_000, 20, per_hour, batch, (rate, gone))
    assert hours == pytest.approx(expected, rel=0.02)
    assert hours > 1.2 * encoding_hours(np.random.default_rng(0), 40_000_000, 20, per_hour, batch, (0, gone))
    assert encoding_hours(np.random.default_rng(0), 1_000, 2, 50, 1, (0, 0)) == 10


def test_a_server_that_failed_unnoticed_costs_the_rest_of_its_shard_only() -> None:
    fleet = Fleet(4, 2, 4)
    silent = np.zeros((4, 2), bool)
    silent[2, 0] = True
    nodes = Nodes(silent, np.zeros_like(silent))
    waits = run(fleet, 50, 2_000, Rules(limit_ms=40), nodes)
    assert waits.whole.mean() == pytest.approx(0.5, abs=0.04)  # every second search asks it
    assert set(waits.shards.round(2)) == {0.75, 1.0}
    assert (waits.ms[waits.shards < 1] == 40).all()
    assert not run(fleet, 50, 2_000, Rules(limit_ms=40, partial=False), nodes).given.all()
    hedged = run(fleet, 50, 2_000, Rules(limit_ms=40, hedge_ms=10), nodes)
    assert hedged.whole.all()
    assert 1 < hedged.requests / (2_000 * 4) < 1.2
    noticed = run(fleet, 50, 2_000, Rules(limit_ms=40), Nodes(np.zeros_like(silent), silent))
    assert noticed.whole.all()


def test_a_shard_without_servers_is_missing_and_not_waited_for() -> None:
    away = np.zeros((3, 2), bool)
    away[1] = True
    nodes = Nodes(np.zeros_like(away), away)
    answers = run(Fleet(3, 2, 4), 50, 500, Rules(limit_ms=1_000), nodes)
    assert answers.shards.round(3).tolist() == [0.667] * 500
    assert answers.ms.max() < 50
    assert not run(Fleet(3, 2, 4), 50, 500, Rules(partial=False), nodes).given.any()
    everything = Nodes(np.zeros_like(away), np.ones_like(away))
    assert not run(Fleet(3, 2, 4), 50, 500, Rules(), everything).given.any()


def test_hedged_requests_cut_the_tail() -> None:
    def tail(hedge: float | None) -> float:
        rng = np.random.default_rng(0)
        arrivals = np.cumsum(rng.exponential(20, 4_000))
        fleet = Fleet(8, 3, 8)
        slow = lognormal(rng, 2, 60)
        return float(np.percentile(search(rng, fleet, arrivals, slow, nothing, Rules(hedge), all_up(fleet)).ms, 99))

    assert tail(15) < 0.6 * tail(None)


def test_a_lognormal_has_the_percentiles_that_it_is_made_of() -> None:
    drawn = lognormal(np.random.default_rng(0), 4.7, 13.0)(200_000)
    assert np.percentile(drawn, [50, 99]) == pytest.approx([4.7, 13.0], rel=0.03)


MEASURED = Measured({100_000: np.linspace(0.8, 1.2, 41), 200_000: np.linspace(1.6, 2.4, 41)}, 3.0, 50.0)


def test_times_between_and_behind_the_measured_ones_lie_on_lines() -> None:
    assert MEASURED.median(100_000) == pytest.approx(1.0)
    assert MEASURED.median(math.sqrt(2) * 100_000) == pytest.approx(math.sqrt(2))
    assert MEASURED.median(10_000) == pytest.approx(0.1)
    assert MEASURED.median(200_000) == pytest.approx(2.0)
    known = cluster_model.DOCUMENTED
    assert [cluster_model.growth(rows) for rows in known] == pytest.approx(list(known.values()))
    assert cluster_model.growth(100_000_000) == pytest.approx(known[10_000_000] ** 2 / known[1_000_000])
    assert cluster_model.growth(10_000) == pytest.approx(known[100_000] ** 2 / known[1_000_000])
    behind = known[10_000_000] / cluster_model.growth(200_000)
    assert MEASURED.median(10_000_000) == pytest.approx(2.0 * behind)


@pytest.mark.parametrize("engine", ["memory", "milvus"])
def test_more_replicas_lose_fewer_answers(engine: str) -> None:
    given = Assumptions(items=2_000_000, failures_per_hour=0.01, repair_hours=2.0, years=5.0)
    one, two = (
        cluster_model.searches(np.random.default_rng(0), MEASURED, engine, given, (4, replicas), 400)
        for replicas in (1, 2)
    )
    works = 1 / (1 + 0.01 * 2)
    assert one["whole"] == pytest.approx(works**4, abs=0.01)
    assert one["down_hours_a_year"] == pytest.approx(8766 * (1 - works**4), rel=0.1)
    assert two["whole"] > one["whole"]
    assert (one["whole"] + one["partial"] + one["failed"]) == pytest.approx(1, abs=1e-5)
    assert two["capacity_per_second"] == pytest.approx(2 * one["capacity_per_second"], rel=0.05)
    assert one["rows_a_shard"] == 500_000
    assert one["p99_ms"] >= one["p50_ms"] > MEASURED.text_ms


def test_days_of_encoding_are_photos_over_cores() -> None:
    given = Assumptions(items=50 * 8 * 86_400 * 10, preemptions_per_hour=0)
    assert cluster_model.encoding(np.random.default_rng(0), MEASURED, given, 5) == {
        "workers": 5, "days": 2.0, "lost": 0.0,
    }  # fmt: skip


def test_what_is_measured_is_measured() -> None:
    measured = cluster_model.measure([300, 600], 5, 4)
    assert {rows: len(times) for rows, times in measured.samples.items()} == {300: 5, 600: 5}
    assert min(float(times.min()) for times in measured.samples.values()) > 0
    assert (measured.text_ms > 0, measured.photos_per_core_second > 0) == (True, True)


def test_a_table_has_its_columns_below_each_other() -> None:
    assert cluster_model.table([{"shards": 16, "ms": 1.5}, {"shards": 1000, "ms": 10.25}]) == (
        "shards     ms\n    16    1.5\n 1,000  10.25"
    )
