"""The interface as OpenAPI describes it: the description is valid, answers are as it says, and a client comes of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from pydantic import BaseModel
from served import API, Asker, id_of

from mmsearch.library.library import Library
from mmsearch.server import models


def test_the_description_is_valid(client: TestClient) -> None:
    schema = client.get(f"{API}/openapi.json").json()
    validate(schema)
    operations = [item for path in schema["paths"].values() for item in path.values()]
    names = [item["operationId"] for item in operations]
    assert len(set(names)) == len(names)
    assert all(item["description"] for item in operations)
    assert all("application/problem+json" in item["responses"]["default"]["content"] for item in operations)


ANSWERS: list[tuple[str, dict[str, Any], type[BaseModel]]] = [
    ("/search", {"q": "is there a cat?"}, models.SearchPage),
    ("/search", {"k": 1}, models.SearchPage),
    ("/photos/ID", {}, models.PhotoDetails),
    ("/facets", {}, models.Facets),
    ("/timeline", {}, models.Timeline),
    ("/places", {}, models.Places),
    ("/complete", {"text": "type:"}, models.Completions),
    ("/duplicates", {}, models.Duplicates),
    ("/tags", {"text": "d"}, models.Tags),
    ("/searches", {}, models.SavedSearches),
    ("/status", {}, models.Status),
    ("/photos/99", {}, models.Problem),
    ("/search", {"k": 0}, models.Problem),
]


@pytest.mark.parametrize(("path", "given", "model"), ANSWERS)
def test_answers_are_as_described(
    client: TestClient, shelf: Library, path: str, given: dict[str, Any], model: type[BaseModel]
) -> None:
    """Every key of an answer is described, and has the kind that is described."""
    answer = client.get(API + path.replace("ID", str(id_of(shelf, "cat.png"))), params=given).json()
    understood = model.model_validate(answer, strict=True).model_dump(exclude_unset=True)
    assert understood == answer


def test_a_client_is_made_of_the_description(client: TestClient, shelf: Library, tmp_path: Path) -> None:
    """Types generated from OpenAPI alone read what the server says, and write what it takes."""
    (tmp_path / "openapi.json").write_text(client.get(f"{API}/openapi.json").text, "utf-8")
    options = {"--input": "openapi.json", "--input-file-type": "openapi", "--output": "made.py",
               "--output-model-type": "pydantic_v2.BaseModel"}  # fmt: skip
    command = [sys.executable, "-m", "datamodel_code_generator", *(word for pair in options.items() for word in pair)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    made = _module(tmp_path / "made.py")
    asked = made.SearchRequest(q="a cat", k=2)
    answer = client.post(f"{API}/search", content=asked.model_dump_json(), headers={"Content-Type": "application/json"})
    page = made.SearchPage.model_validate_json(answer.content)
    assert [(hit.id, hit.path) for hit in page.hits] == [(hit.photo.id, hit.path) for hit in shelf.search("a cat", k=2)]
    rest = client.get(f"{API}/search", params={"cursor": page.next_cursor})
    assert [hit.rank for hit in made.SearchPage.model_validate_json(rest.content).hits] == [3, 4, 5]
    photo = made.PhotoDetails.model_validate_json(client.get(f"{API}/photos/{page.hits[0].id}").content)
    assert (photo.present, photo.width) == (True, 451)
    problem = made.Problem.model_validate_json(client.get(f"{API}/photos/99").content)
    assert problem.code == "unknown-photo"
    assert made.Status.model_validate_json(client.get(f"{API}/status").content).photos == 5


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("made", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made"] = module
    spec.loader.exec_module(module)
    return module


def test_the_application_can_be_mounted(asker: Asker, shelf: Library) -> None:
    """Below a path of another application, which knows nothing of its beginning and end."""
    from fastapi import FastAPI
    from served import BASE, TOKEN

    import mmsearch

    outer = FastAPI()
    outer.mount("/photos-of-ours", mmsearch.serve(shelf, token=TOKEN))
    with TestClient(outer, base_url=BASE, follow_redirects=False) as browser:
        entrance = browser.get("/photos-of-ours/", params={"token": TOKEN})
        assert (entrance.status_code, entrance.headers["location"]) == (303, "/photos-of-ours/")
        page = browser.get(f"/photos-of-ours{API}/search", params={"q": "a cat"})
        assert json.loads(page.text)["hits"]
        assert browser.get(f"/photos-of-ours{API}/status", headers={"Host": "evil.example"}).status_code == 403
