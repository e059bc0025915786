"""A server whose library is on another one that is slow: what clients are told, page by page, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from locked_tables import SECONDS, ended, locked, served_library
from prometheus_client.parser import text_string_to_metric_families
from served import API, Asker, names

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.indexes import rows_alone
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.server.mcp.tools import Tools

SEARCH = f"{API}/search"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[str]:
    with served_library(tmp_path_factory.mktemp("partial"), encoder) as url:
        yield url


@pytest.fixture
def library(
    address: str, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Library]:
    monkeypatch.setattr(rows_alone, "COMPARED", 1)
    with open_library(address, settings=replace(settings, search_timeout=SECONDS), encoder=encoder) as opened:
        opened.search("a photo")
        yield opened


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    """By name and labels what is counted."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_partial_answer_says_so_and_is_no_page_of_a_whole_one(asker: Asker, address: str, library: Library) -> None:
    client = asker(library)
    asked = {"q": "trips", "k": "1"}
    whole = client.get(SEARCH, params=asked).json()
    assert (whole["unreachable"], whole["notes"], len(whole["hits"])) == ([], [], 1)
    with locked(address, "vectors"):
        partial = ended(lambda: client.get(SEARCH, params=asked).json())
        assert (partial["unreachable"], [note["code"] for note in partial["notes"]]) == (
            ["vectors"], ["vectors-unreachable"],
        )  # fmt: skip
        assert partial["notes"][0]["message"].startswith("only pictures about which these words are written")
        later = ended(lambda: client.get(SEARCH, params={**asked, "cursor": whole["next_cursor"]}))
        assert (later.status_code, later.json()["code"]) == (410, "stale_cursor")
        assert "the order is another one; search again" in later.json()["detail"]
        rest = ended(lambda: client.get(SEARCH, params={**asked, "cursor": partial["next_cursor"]}).json())
        assert sorted(names(partial) + names(rest)) == ["motorcycle.png", "rocket.jpg"]  # words find no others
        away = ended(lambda: client.post(f"{API}/search", json={"q": "", "like": [whole["hits"][0]["id"]]}))
        assert (away.status_code, away.json()["code"]) == (503, "vectors-unreachable")
        partial = client.get(SEARCH, params=asked).json()  # one whose second page was not looked at
        assert partial["unreachable"] == ["vectors"]
    library.engines.vectors._until = 0.0
    again = client.get(SEARCH, params={**asked, "cursor": partial["next_cursor"]})
    assert (again.status_code, again.json()["code"]) == (410, "stale_cursor")
    assert len(client.get(SEARCH, params={"q": "trips", "k": "5"}).json()["hits"]) == 5


def test_agents_are_told_too(address: str, library: Library) -> None:
    from mcp.server.mcpserver.exceptions import ToolError

    tools = Tools(library, writes=False)
    whole = tools.search_photos("trips", limit=1)
    assert whole.notes == []
    with locked(address, "vectors"):
        partial = ended(lambda: tools.search_photos("trips", limit=1))
        assert partial.notes[0].startswith("only pictures about which these words are written were looked at: pgvector")
        with pytest.raises(ToolError, match=r"parts of the library went away or came back .* \[code: stale-cursor\]"):
            ended(lambda: tools.search_photos("trips", limit=1, cursor=whole.next_cursor))
        rest = ended(lambda: tools.search_photos("trips", limit=1, cursor=partial.next_cursor))
        assert {hit.id for hit in rest.hits}.isdisjoint(hit.id for hit in partial.hits)


def test_figures_for_prometheus(asker: Asker, address: str, library: Library) -> None:
    client = asker(library, metrics=True)
    assert client.get(SEARCH, params={"q": "a cat"}).status_code == 200
    assert client.get(f"{API}/photos/123456789").status_code == 404
    with locked(address, "vectors"):
        ended(lambda: client.get(SEARCH, params={"q": "a cat"}))
    counted = figures(client)
    assert counted["mmsearch_searches_total", "whole"] >= 1
    assert counted["mmsearch_searches_total", "partial"] == 1
    assert counted["mmsearch_unreachable_parts_total", "vectors"] == 1
    assert counted["mmsearch_errors_total", "unknown-photo"] == 1
    assert counted["mmsearch_step_seconds_count", "search"] >= 2
    steps = {key[1] for key in counted if key[0] == "mmsearch_step_seconds_count"}
    assert steps >= {"search", "parse", "encode", "allow", "retrieve", "words", "facts", "judge"}
    assert counted["mmsearch_engine_reachable", "pgvector", "vectors"] == 0
    assert counted["mmsearch_engine_reachable", "PostgreSQL", "metadata"] == 1
    assert counted["mmsearch_engine_open", "pgvector", "vectors"] == 0
    assert 1 <= counted["mmsearch_connections", "open"] <= counted["mmsearch_connections", "most"] == 16
    assert counted["mmsearch_calls", "search", "taken"] == 0
    status = client.get(f"{API}/status").json()["engines"]
    assert [(one["part"], one["name"], one["reachable"], one["open"]) for one in status] == [
        ("metadata", "PostgreSQL", True, False),
        ("vectors", "pgvector", True, False),  # asked again for this
        ("words", "PostgreSQL", True, False),
        ("tokens", "PostgreSQL", None, False),
    ]


def test_figures_are_for_whoever_has_the_token_and_only_where_they_are_asked_for(asker: Asker) -> None:
    assert asker(metrics=True, token="").get("/metrics").status_code == 401
    assert asker(metrics=True).get("/metrics").status_code == 200
    refused = asker().get("/metrics")
    assert (refused.status_code, refused.json()["code"]) == (404, "no-metrics")
