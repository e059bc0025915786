"""A search in a library: what it works on is put together, and looked at anew where others write meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mmsearch.library.models import Models
from mmsearch.library.results import LibraryResult
from mmsearch.query.model import Query
from mmsearch.search.engine import Engine, no_tokens
from mmsearch.search.options import Options
from mmsearch.search.pipeline import is_question, needs_encoder, search
from mmsearch.search.reranking import RerankStage
from mmsearch.types import Note

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store, VectorSearch, VectorSnapshot

TRIES = 3  # of a search while others write


@dataclass(frozen=True)
class Searcher:
    """Searches the pictures of a library as they are now."""

    store: Store
    vectors: VectorSearch
    models: Models
    max_megapixels: float  # of example pictures

    def search(self, query: Query, options: Options, rerank: bool | None = None) -> LibraryResult:
        """The page of hits that is asked for; see ``Library.search``.

        Raises QueryError, NoModelError, ModelError, ModelMismatchError.
        """
        for _ in range(TRIES):
            snapshot, before = self.vectors.snapshot(), self.store.generation()
            engine, notes = self._engine(snapshot, rerank, query, needs_encoder(query, options))
            if options.imagine and engine.encoder is not None:
                engine = replace(engine, imagination=self.models.imagination(engine.encoder))
            result = search(engine, query, options)
            now = self.store.generation()
            if len(result) >= options.k or before == now:
                break  # else pictures may be lacking that were taken out between two looks at the database
        generation = now if snapshot.generation == now else None
        return LibraryResult(result.hits, (*notes, *result.notes), result.next_offset, generation, self.max_megapixels)

    def _engine(
        self, snapshot: VectorSnapshot, rerank: bool | None, query: Query, with_encoder: bool
    ) -> tuple[Engine, Sequence[Note]]:
        """What a search works on, and what to say of it."""
        models, model = self.models, snapshot.model
        encoder = models.encoder(model) if with_encoder or rerank else None
        stage: RerankStage | None = None
        notes: Sequence[Note] = ()
        if encoder is not None and rerank is not False:
            stage, notes = models.rerank_stage(model, required=rerank is True, asks=is_question(query))
        engine = Engine(
            store=self.store,
            model=model,
            index=self.vectors.searched(snapshot),
            encoder=encoder,
            querybank=None if encoder is None else models.querybank(model),
            calibration=None if encoder is None else models.calibration(encoder, model),
            reranking=stage,
            max_megapixels=self.max_megapixels,
            tokens=no_tokens if encoder is None else partial(models.token_model, model, encoder),
        )
        return engine, notes
