"""A retriever for LlamaIndex: ``pip install 'mmsearch[llama-index]'``."""

from __future__ import annotations

import base64
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle

from mmsearch.integrations.documents import Retrieval, text_of
from mmsearch.types import Hit

# For people and programs, not for the model that reads the nodes.
_HIDDEN = ["id", "path", "rank", "score", "relevance", "width", "height", "latitude", "longitude", "tags", "people"]


class PhotoRetriever(BaseRetriever):  # type: ignore[misc]  # follow_imports = skip
    """Photos of a library as image nodes; ``Library.as_llama_index_retriever`` makes one."""

    def __init__(self, retrieval: Retrieval, **options: Any) -> None:
        """``options`` are those of LlamaIndex's retrievers, such as ``callback_manager``."""
        self._retrieval = retrieval
        super().__init__(**options)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._retrieval.hits(query_bundle.query_str)
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in hits]

    def _node(self, hit: Hit) -> ImageNode:
        metadata = self._retrieval.metadata(hit)
        metadata.pop("image", None)  # a node has a field for it
        content = self._retrieval.image(hit)
        image = None if content is None else base64.b64encode(content).decode("ascii")
        return ImageNode(
            id_=f"{hit.photo.id}",
            text=text_of(hit.photo),
            metadata=metadata,
            image=image,
            image_mimetype=None if image is None else "image/webp",
            image_path=metadata.get("path"),
            excluded_llm_metadata_keys=_HIDDEN,
            excluded_embed_metadata_keys=_HIDDEN,
        )
