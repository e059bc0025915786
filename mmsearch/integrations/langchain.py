"""A retriever for LangChain: ``pip install 'mmsearch[langchain]'``."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from mmsearch.integrations.documents import Retrieval, text_of


class PhotoRetriever(BaseRetriever):  # type: ignore[misc]  # follow_imports = skip
    """Photos of a library as documents; the fields are those of ``Library.as_retriever``, which makes one.

    ``invoke(text, k=…)`` takes another number of documents for one call.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    library: Any = Field(exclude=True, repr=False)
    k: int = Field(default=10, ge=1)
    where: Any = ()
    within: Any = ()
    rerank: bool | None = None
    min_relevance: float | None = None
    picture: str = "path"
    query_language: bool = False

    def model_post_init(self, context: Any) -> None:
        """Raises ArgumentError for a ``picture`` that is none of those that there are."""
        super().model_post_init(context)
        self._retrieval()

    def _retrieval(self) -> Retrieval:
        return Retrieval(
            self.library,
            self.k,
            self.where,
            self.within,
            self.rerank,
            self.min_relevance,
            self.picture,  # type: ignore[arg-type]  # it is looked at there
            self.query_language,
        )

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        retrieval = self._retrieval()
        return [
            Document(id=str(hit.photo.id), page_content=text_of(hit.photo), metadata=retrieval.metadata(hit))
            for hit in retrieval.hits(query, k)
        ]
