"""A search in a library: what it works on is put together, and looked at anew where others write meanwhile.

Where a part of the library does not answer, it is searched without it, and a note says so: without the engine of the
vectors, what words find; without words, what vectors find.  Without the store there is nothing, which is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mmsearch.errors import LibraryError, UnreachableError
from mmsearch.indexes.rows_alone import RowsAlone
from mmsearch.library.models import Models
from mmsearch.library.results import LibraryResult
from mmsearch.query.model import Query, Words
from mmsearch.search.engine import Engine, no_tokens
from mmsearch.search.options import Options
from mmsearch.search.pipeline import is_question, needs_encoder, search
from mmsearch.search.reranking import RerankStage
from mmsearch.search.unreachable import without
from mmsearch.store.breaker import LOST, METADATA, Engines
from mmsearch.store.limit import Limit
from mmsearch.store.steps import step
from mmsearch.types import Note

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store, VectorSearch, VectorSnapshot

TRIES = 3  # of a search while others write

Lacking = dict[str, UnreachableError]  # by the part that does not answer


@dataclass(frozen=True)
class Searcher:
    """Searches the pictures of a library as they are now."""

    store: Store
    vectors: VectorSearch
    models: Models
    max_megapixels: float  # of example pictures
    seconds: float = 0.0  # that servers are waited for; 0 as long as they take
    engines: Engines = field(default_factory=Engines)

    def search(self, query: Query, options: Options, rerank: bool | None = None) -> LibraryResult:
        """The page of hits that is asked for; see ``Library.search``.

        Raises QueryError, NoModelError, ModelError, ModelMismatchError, LibraryError.
        """
        # A library in a folder waits for no server.
        limit = Limit(self.seconds if self.engines.breakers else 0)
        with step("search", k=options.k, offset=options.offset) as told:
            try:
                with self.engines.metadata.asked(), limit.applied():
                    result = self._at_second_try(query, options, rerank, limit)
            except UnreachableError as error:
                if error.part != METADATA:
                    raise
                raise LibraryError(f"library {self.store.place}: {error.reason}", code=LOST) from error
            told.note(hits=len(result), unreachable=sorted(result.unreachable))
        return result

    def _at_second_try(self, query: Query, options: Options, rerank: bool | None, limit: Limit) -> LibraryResult:
        """It is searched once more where the connection broke: to the next server of the address, or the same one."""
        try:
            return self._lacking_nothing_needed(query, options, rerank)
        except LibraryError as error:
            if error.code != LOST or limit.seconds <= 0:
                raise
        return self._lacking_nothing_needed(query, options, rerank)

    def _lacking_nothing_needed(self, query: Query, options: Options, rerank: bool | None) -> LibraryResult:
        """With all parts, else without those that do not answer, from the beginning: so hits have one order."""
        lacking: Lacking = {}
        while True:
            try:
                return self._unchanged(query, options, rerank, lacking)
            except UnreachableError as error:
                if error.part in lacking or error.part == METADATA:
                    raise
                lacking[error.part] = error

    def _unchanged(self, query: Query, options: Options, rerank: bool | None, lacking: Lacking) -> LibraryResult:
        for _ in range(TRIES):
            snapshot = self.vectors.without_engine() if "vectors" in lacking else self.vectors.snapshot()
            before = self.store.generation()
            engine, notes = self._engine(snapshot, rerank, query, needs_encoder(query, options))
            if options.imagine and engine.encoder is not None:
                engine = replace(engine, imagination=self.models.imagination(engine.encoder))
            engine = replace(engine, no_words=lacking.get("words"))
            result = search(engine, query, options)
            now = self.store.generation()
            if len(result) >= options.k or before == now:
                break  # else pictures may be lacking that were taken out between two looks at the database
        notes = (*notes, *result.notes, *self._left_out(query, engine, lacking))
        generation = now if snapshot.generation == now else None
        return LibraryResult(result.hits, notes, result.next_offset, generation, self.max_megapixels)

    def _left_out(self, query: Query, engine: Engine, lacking: Lacking) -> list[Note]:
        """What to say of parts that were done without.  Raises UnreachableError where nothing was looked for."""
        missing = dict(lacking)
        if isinstance(engine.index, RowsAlone) and not engine.index.missed:
            missing.pop("vectors", None)  # few pictures were allowed, or none had to be found: nothing is lacking
        said = [term for term in query.terms if isinstance(term, Words) and not term.exclude]
        if "vectors" in missing and (not said or query.arithmetic or "words" in missing):
            raise missing["vectors"]
        return [without(error) for error in missing.values()]

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
            reranking=None if stage is None else replace(stage, breaker=self.engines.tokens),
            max_megapixels=self.max_megapixels,
            tokens=no_tokens if encoder is None else partial(models.token_model, model, encoder),
            engines=self.engines,
        )
        return engine, notes
