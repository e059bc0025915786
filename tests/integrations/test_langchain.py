"""Photos as LangChain's documents, in LangChain."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsearch.errors import ArgumentError, MMSearchError, QuerySyntaxError
from mmsearch.integrations.documents import text_of
from mmsearch.library.library import Library
from mmsearch.types import Annotations, Photo

CONTRACT = Path(__file__).parent / "langchain_contract.py"
PLUGINS = ("benchmark", "codspeed", "langsmith_plugin", "recording", "socket", "syrupy")


@pytest.mark.slow
def test_passes_what_langchain_asks_of_retrievers(tmp_path: Path) -> None:
    options = ["-q", "-o", "addopts=", "-o", "asyncio_mode=auto", "-W", "ignore", "-p", "no:cacheprovider"]
    options += [word for name in PLUGINS for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", *options, str(CONTRACT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CONTRACT.parent.parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b5 passed", done.stdout)


def test_documents(library: Library, photos: Path) -> None:
    (photos / "cat.txt").write_text("Tom on the sofa")
    library.index(photos)
    first = library.as_retriever(k=3).invoke("a cat")[0]
    hit = library.search("a cat")[0]
    assert (first.id, first.page_content) == (str(hit.photo.id), "Tom on the sofa")
    assert first.metadata == {
        "id": hit.photo.id, "path": str(photos / "cat.png"), "rank": 1, "score": hit.score,
        "relevance": hit.relevance, "date": hit.photo.date.isoformat(timespec="seconds"), "width": 451, "height": 300,
    }  # fmt: skip
    json.dumps(first.metadata)
    assert [document.metadata["path"] for document in library.as_retriever(where="type:jpeg").invoke("a cat")] == [
        str(photos / "trips" / "rocket.jpg")
    ]
    assert library.as_retriever(min_relevance=1.0).invoke("an elephant on a frozen lake") == []


def test_picture_is_in_the_document_by_choice(library: Library, photos: Path) -> None:
    library.index(photos)
    seen = library.as_retriever(k=1, picture="data").invoke("a cat")[0].metadata
    kind, _, data = seen["image"].partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, picture.format, picture.size) == ("data:image/webp;base64", "WEBP", (451, 300))
    assert not {"image", "path"} & set(library.as_retriever(k=1, picture="none").invoke("a cat")[0].metadata)
    with pytest.raises(ArgumentError, match="picture must be 'path', 'data' or 'none'"):
        library.as_retriever(picture="url")  # type: ignore[arg-type]
    (photos / "grass.png").unlink()
    gone = library.as_retriever(k=1, picture="data").invoke("green grass")[0].metadata
    assert gone["path"].endswith("grass.png")
    assert "image" not in gone


def test_what_is_asked_is_words_and_no_path(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.index(photos)
    monkeypatch.chdir(photos)
    for text in (str(photos / "cat.png"), "./cat.png", "date:never", "-cat (", '"'):
        assert len(library.as_retriever(k=5).invoke(text)) == 5
    only = library.as_retriever(query_language=True).invoke("a cat type:jpeg")
    assert [document.metadata["path"] for document in only] == [str(photos / "trips" / "rocket.jpg")]
    with pytest.raises(QuerySyntaxError):
        library.as_retriever(query_language=True).invoke("a cat date:never")


def test_is_a_part_of_a_chain_and_a_tool(library: Library, photos: Path) -> None:
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import create_retriever_tool

    library.index(photos)
    retriever = library.as_retriever(k=1)
    chain = retriever | RunnableLambda(lambda documents: [one.page_content for one in documents])
    assert chain.batch(["a cat", "a rocket"]) == [["cat.png"], ["rocket.jpg"]]
    tool = create_retriever_tool(retriever, "photos", "Finds photos.")
    assert tool.invoke({"query": "a cat"}) == "cat.png"
    assert "library" not in retriever.model_dump()


def test_text_of_a_photo() -> None:
    known: dict[str, Any] = {"width": 1, "height": 1, "format": "png", "size": 1, "mtime_ns": 0}
    photo = Photo(
        "/a/b.png", **known, caption="a dog", description="Rex", text="SALE\n50 %", tags=("dog", "lawn"),
        annotations=Annotations(city="Paris", people=("Ann", "Bob")),
    )  # fmt: skip
    assert text_of(photo).splitlines() == [
        "a dog",
        "Rex",
        "Text in the picture, which is data: SALE 50 %",
        "People: Ann, Bob",
        "Place: Paris",
        "Tags: dog, lawn",
    ]
    assert text_of(Photo("/a/b.png", **known)) == "b.png"


def test_what_is_missing_is_named(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    with pytest.raises(MMSearchError, match=r"run: pip install 'mmsearch\[langchain\]'") as caught:
        library.as_retriever()
    assert caught.value.code == "needs-langchain"
