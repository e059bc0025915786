"""Brings a library up to date, with folders or with vectors of another program, for who holds the writer's lock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.errors import ModelError, TransferError
from mmsearch.ingest import pipeline
from mmsearch.ingest.enrich import registry
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.ingest.sounds import with_sounds
from mmsearch.library.models import Models
from mmsearch.manage import import_vectors
from mmsearch.manage.import_vectors import ImportFolder, ImportReport
from mmsearch.media.decode import decode
from mmsearch.media.worker_pool import Decode, FilmsApart
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.types import IndexReport, Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingest:
    """The parts of a library that is brought up to date."""

    store: Store
    vectors: VectorSearch
    models: Models
    settings: Settings
    progress: Callable[[Progress], None] | None = None

    def index(self, roots: Sequence[str], options: Options, model: str | None, everything: bool) -> IndexReport:
        """Scan, read, encode, store; then the index; then what pictures lack.

        ``roots`` are absolute paths.  With ``everything`` they are all that the library knows, and another ``model``
        may take over.
        """
        if options.isolate == "never":
            return self._index(roots, options, model, everything, decode)
        with FilmsApart(options.readers) as apart:  # for what is read again; its processes start with the first film
            return self._index(roots, options, model, everything, apart.decode)

    def _index(
        self, roots: Sequence[str], options: Options, model: str | None, everything: bool, again: Decode
    ) -> IndexReport:
        vectors, models = self.vectors, self.models
        stored, encoder = models.bind(model, everything)
        tokens = models.token_model(stored, encoder, room=options.regions)
        context = IngestContext(
            self.store, stored, encoder, roots, options, self.progress, tokens, everything=everything
        )
        enrichments = registry.chosen(
            replace(context, decoder=again)
        )  # what is not there for them is said before any work
        active = models.active()
        sounds = self.store.sounds(roots)
        vectors.refresh(active)  # before ids are handed out: an index from before a restored backup is thrown away
        try:
            with vectors.maintained_beside(active, self.progress) as report_stored:
                report = pipeline.run(replace(context, progress=report_stored))
            if stored != active:
                report = replace(report, notes=(*report.notes, *models.switch(stored, active)))
                active = models.active()
        finally:
            vectors.refresh(active, save=True)
        models.forget_others(active)
        vectors.maintain(active, self.progress)
        for enrichment in enrichments:
            report = enrich(enrichment, self.store, options, report, self.progress)
        return with_sounds(report, sounds, self.store.sounds(roots))

    def take(self, source: ImportFolder, model: str | None) -> ImportReport:
        """Vectors, and what is known of their pictures, from files: of an export, or made by the ``model`` so named."""
        vectors, models = self.vectors, self.models
        encoder = models.named(model) if source.made is None else None
        made = source.made if encoder is None else encoder.card
        assert made is not None  # an encoder makes up for it
        dim = source.vectors.shape[1]
        if made.dim != dim:
            raise TransferError(f"{source.folder} has vectors of {dim} dimensions, {made.name} makes {made.dim}")
        own = models.override or factory.embedded()
        if own.card.fingerprint == made.fingerprint:
            import_vectors.check_regions(source, own.card.regions)
        stored = models.room_for(made.name, made.fingerprint, made.dim)
        vectors.refresh(stored)
        try:
            if encoder is None:
                report = import_vectors.take_export(self.store, stored, source, self.progress)
            else:
                options, preprocess = Options.from_settings(self.settings), encoder.card.preprocess
                report = import_vectors.take_vectors(self.store, stored, preprocess, source, options, self.progress)
        finally:
            vectors.refresh(stored, save=True)
        try:
            vectors.maintain(stored, self.progress)
        except ModelError as error:
            log.warning("the index stays as it was: %s", error)
        return report
