"""Photos as LlamaIndex's nodes, in LlamaIndex."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmsearch.errors import MMSearchError
from mmsearch.library.library import Library

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*Pydantic.*")


def test_nodes(library: Library, photos: Path) -> None:
    from llama_index.core.schema import ImageNode, MetadataMode

    (photos / "cat.txt").write_text("Tom on the sofa")
    library.index(photos)
    (found, *others) = library.as_llama_index_retriever(k=3).retrieve("a cat")
    hit = library.search("a cat")[0]
    assert isinstance(found.node, ImageNode)
    assert (found.node.node_id, found.score, len(others)) == (str(hit.photo.id), hit.score, 2)
    assert (found.node.text, found.node.image_path, found.node.image) == (
        "Tom on the sofa",
        str(photos / "cat.png"),
        None,
    )
    read = found.node.get_content(MetadataMode.LLM)
    assert "Tom on the sofa" in read
    assert str(photos) not in read


def test_picture_is_in_the_node_by_choice(library: Library, photos: Path) -> None:
    library.index(photos)
    (found,) = library.as_llama_index_retriever(k=1, picture="data").retrieve("a cat")
    picture = Image.open(io.BytesIO(base64.b64decode(found.node.image)))
    assert (found.node.image_mimetype, picture.format, picture.size) == ("image/webp", "WEBP", (451, 300))
    (bare,) = library.as_llama_index_retriever(k=1, picture="none").retrieve("a cat")
    assert (bare.node.image_path, "path" in bare.node.metadata) == (None, False)


def test_answers_queries_of_an_engine(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IS_TESTING", "1")  # of LlamaIndex: without it an answer without words wants a model of OpenAI
    from llama_index.core import get_response_synthesizer
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import RetrieverQueryEngine

    library.index(photos)
    retriever = library.as_llama_index_retriever(k=2, where="type:png")
    engine = RetrieverQueryEngine(retriever, get_response_synthesizer(llm=MockLLM(), response_mode="no_text"))
    assert [one.node.metadata["rank"] for one in engine.query("a cat").source_nodes] == [1, 2]
    waited = asyncio.run(retriever.aretrieve("a cat"))
    assert [one.node.node_id for one in waited] == [one.node.node_id for one in retriever.retrieve("a cat")]


def test_what_is_missing_is_named(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_index.core", None)
    with pytest.raises(MMSearchError, match=r"run: pip install 'mmsearch\[llama-index\]'") as caught:
        library.as_llama_index_retriever()
    assert caught.value.code == "needs-llama-index"
