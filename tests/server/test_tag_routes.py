"""Tags that people give photos, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import API, Asker, id_of, names

from mmsearch.library.library import Library
from mmsearch.server import models


def test_tags_are_given_found_completed_and_taken(asker: Asker, indexed: Library) -> None:
    client = asker(indexed)
    cat, rocket, grass = (id_of(indexed, name) for name in ("cat.png", "rocket.jpg", "grass.png"))
    assert client.get(f"{API}/tags").json() == {"tags": []}
    assert client.get(f"{API}/complete", params={"text": "tag:gra"}).json()["completions"] == []
    given = {"ids": [cat, rocket, cat], "add": ["  Grandma's\tbirthday", "sea"], "remove": ["x"]}
    changed = client.post(f"{API}/tags", json=given).json()
    assert changed == {"photos": 2, "changed": 2, "added": 4, "removed": 0}
    assert models.TagsChanged.model_validate(changed, strict=True)
    assert client.post(f"{API}/tags", json={"ids": [grass], "add": ["SEA"]}).json()["added"] == 1
    assert client.get(f"{API}/tags").json() == {
        "tags": [{"tag": "sea", "count": 3}, {"tag": "Grandma's birthday", "count": 2}]
    }
    assert client.get(f"{API}/tags", params={"text": " Birth", "most": 1}).json()["tags"][0]["count"] == 2
    completed = client.get(f"{API}/complete", params={"text": "tag:gra"}).json()["completions"]
    assert completed == [{"insert": 'tag:"Grandma\'s birthday"', "label": "Grandma's birthday", "kind": "tag"}]
    found = client.get(f"{API}/search", params={"q": 'tag:"grandma\'s birthday" sort:name'}).json()
    assert names(found) == ["cat.png", "rocket.jpg"]
    assert found["hits"][0]["own_tags"] == found["hits"][0]["tags"] == ["Grandma's birthday", "sea"]
    facet = next(one for one in client.get(f"{API}/facets").json()["facets"] if one["field"] == "tag")
    assert [(value["value"], value["count"]) for value in facet["values"]] == [("sea", 3), ("Grandma's birthday", 2)]
    taken = client.post(f"{API}/tags", json={"ids": [cat, grass], "remove": ["SEA"]}).json()
    assert taken == {"photos": 2, "changed": 2, "added": 0, "removed": 2}
    assert client.get(f"{API}/photos/{cat}").json()["own_tags"] == ["Grandma's birthday"]
    assert "own_tags" not in client.get(f"{API}/photos/{grass}").json()


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"ids": []}, 422, "bad-request"),
    ({"ids": [1], "add": ["x"] * 51}, 422, "bad-request"),
    ({"ids": [1], "add": ["x" * 401]}, 422, "bad-request"),
    ({"ids": [1] * 10_001, "add": ["x"]}, 422, "bad-request"),
    ({"ids": ["a"], "add": ["x"]}, 422, "bad-request"),
    ({"ids": [1], "add": "x"}, 422, "bad-request"),
    ({"ids": [1], "tags": ["x"]}, 422, "bad-request"),
    ({"ids": [1]}, 400, "bad-argument"),
    ({"ids": [1], "add": ["a,b"]}, 400, "bad-tag"),
    ({"ids": [1], "add": ["\u202e"]}, 400, "bad-tag"),
    ({"ids": [1], "remove": ["a\nb"]}, 400, "bad-tag"),
    ({"ids": [1], "add": ["Dog"], "remove": ["dog"]}, 400, "bad-argument"),
    ({"ids": [1, 999], "add": ["x"]}, 404, "unknown-photo"),
    ({"ids": [2**63 - 1], "add": ["x"]}, 404, "unknown-photo"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
def test_what_makes_no_sense_is_refused(
    client: TestClient, shelf: Library, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post(f"{API}/tags", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert shelf.tags() == {}


def test_while_another_one_writes_nothing_is_changed(asker: Asker, indexed: Library) -> None:
    client = asker(indexed)
    with indexed.lock():
        answer = client.post(f"{API}/tags", json={"ids": [id_of(indexed, "cat.png")], "add": ["x"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "library-busy")
    assert indexed.tags() == {}


def test_scripts_in_tags_stay_text(asker: Asker, indexed: Library) -> None:
    tag = "<script>alert(1)</script>"
    client = asker(indexed)
    client.post(f"{API}/tags", json={"ids": [id_of(indexed, "cat.png")], "add": [tag]})
    answer = client.get(f"{API}/tags")
    assert (answer.headers["content-type"], answer.json()["tags"]) == ("application/json", [{"tag": tag, "count": 1}])
