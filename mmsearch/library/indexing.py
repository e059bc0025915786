"""Brings a library up to date, with folders or with vectors of another program, for who holds the writer's lock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.errors import LibraryError, ModelError, SourceError, TransferError
from mmsearch.ingest import pipeline
from mmsearch.ingest.enrich import registry
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import IngestContext, Options
from mmsearch.ingest.produce import Produce
from mmsearch.ingest.scan import check
from mmsearch.ingest.sounds import with_sounds
from mmsearch.ingest.url_list import addresses_of
from mmsearch.library.arguments import absolute, globs
from mmsearch.library.models import Models
from mmsearch.manage import import_vectors
from mmsearch.manage.import_vectors import ImportFolder, ImportReport
from mmsearch.media.decode import decode
from mmsearch.media.worker_pool import Decode, FilmsApart
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.store.types import Counts
from mmsearch.types import IndexReport, PathLike, Paths, Progress, path_list

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What an index run is asked for."""

    roots: Sequence[str]  # absolute paths of folders and files
    options: Options
    everything: bool  # they are all that the library knows


@dataclass(frozen=True)
class Ingest:
    """The parts of a library that is brought up to date."""

    store: Store
    vectors: VectorSearch
    models: Models
    settings: Settings
    progress: Callable[[Progress], None] | None = None
    produce: Produce | None = None  # where files become vectors, if not here

    def request(
        self,
        paths: Paths,
        urls: PathLike | Sequence[str] = (),
        exclude: str | Sequence[str] | None = None,
        max_megapixels: float | None = None,
        asked: Set[str] = frozenset(),
    ) -> Request:
        """What these arguments of ``Library.index`` ask for.  Raises SourceError, PatternError."""
        roots, addresses = [absolute(path) for path in path_list(paths)], addresses_of(urls)
        check(roots)
        if everything := not (roots or addresses):
            roots = self.store.roots()
            if not roots and self.store.counts() == Counts(0, 0, 0):
                raise SourceError("the library knows no folder yet", code="nothing-to-index")
        options = Options.from_settings(
            self.settings, exclude=globs(exclude, roots), max_megapixels=max_megapixels, asked=asked,
            addresses=addresses,
        )  # fmt: skip
        return Request(roots, options, everything)

    def index(self, request: Request, model: str | None) -> IndexReport:
        """Scan, read, encode, store; then the index; then what pictures lack.

        Where all that the library knows is asked for, another ``model`` may take over.
        """
        if request.options.isolate == "never":
            return self._index(request, model, decode)
        with FilmsApart(request.options.readers) as apart:  # for what is read again; it starts with the first film
            return self._index(request, model, apart.decode)

    def _index(self, request: Request, model: str | None, again: Decode) -> IndexReport:
        vectors, models = self.vectors, self.models
        roots, options = request.roots, request.options
        stored, encoder = models.bind(model, request.everything)
        tokens = models.token_model(stored, encoder, room=options.regions)
        context = IngestContext(
            self.store,
            stored,
            encoder,
            roots,
            options,
            self.progress,
            tokens,
            produce=self.produce,
            everything=request.everything,
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
        self._settle()
        return with_sounds(report, sounds, self.store.sounds(roots))

    def _settle(self) -> None:
        """What was stored stays as it is where it cannot be put in order."""
        try:
            self.store.settle()
        except LibraryError as error:
            log.warning("region tokens stay as they were stored: %s", error)

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
        self._settle()
        return report
