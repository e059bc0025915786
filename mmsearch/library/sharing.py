"""A library handed to other programs: retrievers of language-model frameworks, and data sets in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.library.checked import checked_methods
from mmsearch.types import IndexReport, PathLike, Paths, Progress, Skipped

if TYPE_CHECKING:
    from mmsearch.integrations import langchain, llama_index
    from mmsearch.integrations.documents import Shown
    from mmsearch.query.model import Condition


@checked_methods
class Sharing:
    """The part of a ``Library`` that other programs hold in their hands."""

    if TYPE_CHECKING:  # a library's own

        def index(self, paths: Paths, *, progress: Callable[[Progress], None] | None) -> IndexReport: ...

    def index_dataset(
        self,
        dataset: Any,
        folder: PathLike,
        *,
        image: str | int = "image",
        caption: str | int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Write the pictures of a data set into a folder, and index it.

        ``dataset`` is one of Hugging Face, one of torch, or any rows; ``image`` names the column, or the place in a
        pair, that has the picture: encoded, a Pillow image, pixels, or the path of a file here, which is copied.
        Encoded pictures are written as they are, others as PNG; files are named by the row, from 00000000.  With
        ``caption``, a text or several, there is a .txt beside each, which words are found in.  Run again, it goes on:
        files that are there with the same content stay, and none is written over.  What is no picture is in the
        report's ``skipped``.  Raises ArgumentError, TransferError, and as ``index``.

        >>> rows = [{"image": Path("photos/cat.png").read_bytes(), "text": "Tom, asleep"}]
        >>> library.index_dataset(rows, "from_rows", caption="text").added
        1
        >>> sorted(os.listdir("from_rows"))
        ['00000000.png', '00000000.txt']
        """
        from mmsearch.integrations.data_sets import write_pictures

        written = list(write_pictures(dataset, Path(folder).expanduser(), image, caption))
        report = self.index(folder, progress=progress)
        return replace(report, skipped=(*(one for one in written if isinstance(one, Skipped)), *report.skipped))

    def as_retriever(
        self,
        k: int = 10,
        *,
        where: str | Sequence[Condition] = (),
        within: Paths = (),
        rerank: bool | None = None,
        min_relevance: float | None = None,
        picture: Shown = "path",
        query_language: bool = False,
    ) -> langchain.PhotoRetriever:
        """A LangChain retriever: documents with what is written about a photo, and what is known of it as metadata.

        The text is caption, description, text in the picture, people, place and tags.  ``picture`` says how a document
        has the picture: "path" where it is, "data" a small one as the data URL ``image`` too, "none" neither.  What is
        asked is plain words that name no file of this machine; with ``query_language`` it is read as the query
        language, and may be a QuerySyntaxError.  The rest is as of ``search``.  Close the library when the retriever is
        done.  Raises MMSearchError (``needs-langchain``), ArgumentError.
        """
        from mmsearch.integrations.needed import needed

        needed("langchain_core", "langchain", "a LangChain retriever")
        from mmsearch.integrations.langchain import PhotoRetriever

        return PhotoRetriever(
            library=self,
            k=k,
            where=where,
            within=within,
            rerank=rerank,
            min_relevance=min_relevance,
            picture=picture,
            query_language=query_language,
        )

    def as_llama_index_retriever(
        self,
        k: int = 10,
        *,
        where: str | Sequence[Condition] = (),
        within: Paths = (),
        rerank: bool | None = None,
        min_relevance: float | None = None,
        picture: Shown = "path",
        query_language: bool = False,
    ) -> llama_index.PhotoRetriever:
        """A LlamaIndex retriever: image nodes with the text and metadata of ``as_retriever``, whose arguments it has.

        With ``picture="data"`` a node has a small picture as ``image``.  Raises MMSearchError (``needs-llama-index``),
        ArgumentError.
        """
        from mmsearch.integrations.documents import Retrieval
        from mmsearch.integrations.needed import needed

        needed("llama_index.core", "llama-index", "a LlamaIndex retriever")
        from mmsearch.integrations.llama_index import PhotoRetriever

        library: Any = self
        return PhotoRetriever(Retrieval(library, k, where, within, rerank, min_relevance, picture, query_language))
