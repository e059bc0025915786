"""The tables of docs/sizing.md are those that the arithmetic gives, and the arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sizing

PAGE = (Path(__file__).parent.parent.parent / "docs" / "sizing.md").read_text("utf-8")


@pytest.mark.parametrize("table", sizing.TABLES, ids=lambda table: table.__name__)
def test_the_page_has_the_tables(table: object) -> None:
    assert callable(table)
    assert table() in PAGE, "run: python -m benchmarks.sizing"


def test_numbers_of_the_text_are_those_of_the_tables() -> None:
    stored = f"{sizing.METADATA:,}, {sizing.VECTORS:,} and {sizing.TOKENS:,} bytes"
    assert stored in PAGE
    assert f"{sizing.TOKENS_PACKED:,} bytes each" in PAGE
    assert f"{sizing.PGVECTOR:,} bytes a row in pgvector" in PAGE
    assert f"Milvus 2.3.5 took {sizing.MILVUS:,} bytes a row" in PAGE
    assert f"{sizing.HNSW_ROW:,} bytes a row" in PAGE
    assert f"{sizing.large_per_core_second():.1f}, by" in PAGE


def test_amounts_are_short() -> None:
    assert [sizing.amount(count) for count in (94e6, 1.23e9, 12.3e9, 5.7e12)] == ["94 MB", "1.2 GB", "12 GB", "5.7 TB"]
    assert [sizing.duration(s) for s in (9.4, 150, 7_300, 200_000)] == ["9.4 s", "2.5 min", "2.0 h", "2.3 days"]


def test_servers_hold_each_part_twice() -> None:
    assert [sizing.servers(count) for count in (1, 48e9, 49e9)] == [2, 2, 4]


def test_building_grows_as_n_log_n() -> None:
    assert sizing.engine_build("pgvector", 200_000) == pytest.approx(54)
    assert sizing.engine_build("pgvector", 200_000**2) == pytest.approx(54 * 200_000 * 2)
    assert sizing.files_build(10**8) == pytest.approx(10 * sizing.files_build(10**7))
