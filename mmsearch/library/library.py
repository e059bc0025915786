"""A library: a folder with the truth (``library.sqlite``) and the index made from it (``index/``)."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmsearch import config
from mmsearch.encoders import factory
from mmsearch.encoders.hub import pickles
from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import LibraryError, ModelError, ModelMismatchError, NoModelError, SourceError, TransferError
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import kept_up
from mmsearch.indexes.manifest import IndexCache, caught_up
from mmsearch.indexes.memory import half_of_memory
from mmsearch.indexes.policy import choose
from mmsearch.language.prompts import scenes
from mmsearch.query.model import Condition, Query
from mmsearch.query.parser import parse, parse_conditions
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import find, for_encoder
from mmsearch.search import querybank, retrieval
from mmsearch.search.calibration import Calibration
from mmsearch.search.hubness import handicap
from mmsearch.search.pipeline import Engine, Options, search
from mmsearch.search.reranking import LEFT_OUT, SecondStage
from mmsearch.store.paths import spellings
from mmsearch.store.sqlite.statistics import Summary
from mmsearch.store.sqlite.store import Store
from mmsearch.store.types import KeptModel, StoredModel
from mmsearch.store.writer_lock import WriterLock
from mmsearch.types import Hit, Ids, IndexReport, Progress, Regions, Skipped, Vectors

if TYPE_CHECKING:  # a search needs none of these, and is to start quickly
    from mmsearch.indexes.build_process import Apart
    from mmsearch.ingest.enrich.tags import TagReport
    from mmsearch.language.vocabulary import Vocabulary
    from mmsearch.manage.duplicates import Group, Level
    from mmsearch.manage.export import ExportReport
    from mmsearch.manage.health import Parts
    from mmsearch.manage.import_vectors import ImportReport
    from mmsearch.manage.move_aside import Moved
    from mmsearch.rerank.captions import Caption
    from mmsearch.rerank.inspect import By, Explanation, Looker
    from mmsearch.rerank.reranker import Answer
    from mmsearch.store.sqlite.integrity import Damage

log = logging.getLogger(__name__)

_TRIES = 3  # of a search while others write
_LOOKS = 3  # at a library that is repaired: one at the database, one at the index, one at the files
TYPICAL = 4  # of so many sentences of ``language/prompts.py`` one is asked to tune an index


@dataclass(frozen=True)
class Status:
    """What a library holds."""

    library: str
    photos: int  # that can be found
    regions: int  # of these, that have region tokens
    captions: int  # of these, that have a caption
    failed: int  # that could not be read
    missing: int  # whose file is gone
    model: str | None  # None before the first ``index``
    dim: int | None
    fingerprint: str | None  # of the model
    precision: str | None  # of the model, such as "int8"; None where nothing on this machine tells
    index: int  # vectors in the index
    index_kind: str | None  # "exact", or an approximate kind; None before the first ``index``
    recall: float | None  # share of the 10 nearest that it finds for texts, as was measured when it was built; or 1
    generation: int
    bytes: int  # of the whole folder
    roots: tuple[str, ...]
    failures: tuple[Skipped, ...]
    summary: Summary


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    mended: tuple[Damage, ...]
    left: tuple[Damage, ...]  # what it could not mend


class Library:
    """Pictures that can be found.  A context manager; safe to search from several threads, also while indexing.

    ``encoder`` replaces the model that the settings name: the seam for tests and for models of one's own.
    Raises LibraryError, NewerLibraryError.
    """

    def __init__(
        self, folder: Path, settings: config.Settings | None = None, *, encoder: Encoder | None = None
    ) -> None:
        self.folder = folder
        self.settings = config.load() if settings is None else settings
        if self.settings.trust_pickle:
            pickles.trust()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(
                f"the library folder {folder} cannot be made: {error.strerror}; choose another one with --library"
            ) from error
        self.store = Store(folder / "library.sqlite")
        self._given = encoder
        self._encoder: Encoder | None = None
        self._reranker: Reranker | None = None
        self._index: tuple[StoredIndex, int, tuple[StoredModel, str]] | None = None  # with its generation and model
        self._saved = -1  # generation of the index on disk
        self._on_gpus: tuple[StoredIndex, StoredIndex] | None = None  # an index, and the same with its rows on GPUs
        self._banks: dict[str, Vectors] = {}  # by the model's fingerprint
        self._lock = threading.RLock()  # of the six above, never held while searching

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def index(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        *,
        model: str | None = None,
        exclude: Sequence[str] = (),
        max_megapixels: float | None = None,
        captions: bool = False,
        ocr: bool = False,
        wait: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Bring the library up to date with folders and files; without ``paths``, with all that it knows.

        A library keeps its model: ``model`` chooses it the first time, and changes it later where no ``paths`` are
        given: all is encoded anew while the old vectors serve, and the new ones take over when they are complete.  The
        old ones are kept, for ``activate``.
        Pictures that were indexed without region tokens get them at the end, unless ``settings.regions`` is off.
        With ``captions``, those that have region tokens get a caption, where they have none of the present reranker.
        Files beside photos, such as ``photo.txt`` and ``photo.xmp``, are read where they are new or have changed.  With
        ``ocr``, text inside pictures is read where that was not done yet.
        With ``wait``, another process that writes to the library is waited for, in place of LibraryBusyError.
        ``exclude`` are globs of names or paths to leave out.  ``progress`` is called after each file read, in this
        thread.  Files that cannot be read are in the report's ``skipped``.  Ctrl-C keeps what is stored by then.
        Raises SourceError, ModelError, ModelMismatchError, LibraryBusyError, LibraryError.
        """
        from mmsearch.ingest import pipeline
        from mmsearch.ingest.enrich import registry
        from mmsearch.ingest.enrich.runner import enrich
        from mmsearch.ingest.options import IngestContext
        from mmsearch.ingest.options import Options as IngestOptions
        from mmsearch.ingest.scan import check

        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        roots = [_absolute(path) for path in given]
        check(roots)
        if not given:
            roots = self.store.roots()
            if not roots:
                raise SourceError("the library knows no folder yet: name one, mmsearch index FOLDER")
        settings = self.settings
        asked = frozenset(name for name, on in {"captions": captions, "texts": ocr}.items() if on)
        options = IngestOptions.from_settings(settings, exclude=exclude, max_megapixels=max_megapixels, asked=asked)
        with WriterLock(self.folder, wait):
            stored, encoder = self._bind(model, everything=not given)
            if settings.regions and self._given is None:
                encoder = factory.measuring(factory.renewed(encoder, settings.cache), settings.cache)
                with self._lock:
                    if self._encoder is not None and self._encoder.card.fingerprint == encoder.card.fingerprint:
                        self._encoder = encoder
            context = IngestContext(self.store, stored, encoder, roots, options, progress)
            enrichments = registry.chosen(context)  # what is not there for them is said before any work
            active = self._stored()
            self._refresh(active)  # before ids are handed out: an index from before a restored backup is thrown away
            try:
                with self._kept_beside(active, progress) as beside:
                    report = pipeline.run(replace(context, progress=beside))
                if stored != active:
                    report = replace(report, notes=(*report.notes, *self._switch(stored, active)))
                    active = self._stored()
            finally:
                self._refresh(active, save=True)
            self._keep_up(active, progress)
            for enrichment in enrichments:
                report = enrich(enrichment, self.store, options, report, progress)
            return report

    def search(
        self,
        query: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Query,
        k: int = 10,
        *,
        within: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        where: str | Sequence[Condition] = (),
        rerank: bool | None = None,
        min_relevance: float | None = None,
        diverse: bool = False,
        like: Sequence[str | os.PathLike[str]] = (),
        unlike: Sequence[str | os.PathLike[str]] = (),
    ) -> list[Hit]:
        """The ``k`` best pictures for a query: what a person types, a picture file (a ``Path``), or several of both.

        ``within`` keeps those in or below these paths, ``where`` those that meet conditions, in the query language
        ("date:2024 type:jpeg") or as values.  With ``rerank`` the best ``settings.rerank_candidates`` are looked at
        again, if the query has words, and questions are answered; None does so where the model has a reranker that was
        measured to help.  Hits below ``min_relevance``, in [0, 1], are left out; None takes the setting where relevance
        is known.  ``diverse`` folds near-duplicates and bursts into one hit and prefers hits that differ.  ``like`` and
        ``unlike`` are pictures of which more or less is wanted, files of the library or others.

        Raises QueryError, NoModelError, ModelError.
        """
        wanted = _query(query)
        conditions = parse_conditions(where) if isinstance(where, str) else tuple(where)
        wanted = replace(wanted, conditions=(*wanted.conditions, *conditions))
        folders = [within] if isinstance(within, (str, os.PathLike)) else list(within)
        options = Options(
            k,
            [way for folder in folders for way in spellings(folder)],
            min_relevance,
            self.settings.min_relevance,
            diverse,
            [os.path.realpath(os.path.expanduser(path)) for path in like],
            [os.path.realpath(os.path.expanduser(path)) for path in unlike],
        )
        for _ in range(_TRIES):
            stored, generation = self._stored(), self.store.generation()
            hits = search(self._engine(stored, rerank), wanted, options)
            if len(hits) >= k or generation == self.store.generation():
                break  # else pictures may be lacking that were taken out between two looks at the database
        if rerank and hits and wanted.has_words and all(hit.first_stage is None for hit in hits):
            log.warning("nothing was reranked: no region tokens are stored; add them with: mmsearch index")
        return hits

    def _engine(self, stored: StoredModel, rerank: bool | None) -> Engine:
        encoder = self.encoder(stored)
        return Engine(
            self.store,
            stored,
            self._searched(stored),
            encoder,
            self._bank(stored),
            Calibration.of(encoder),
            None if rerank is False else self._second_stage(encoder, wanted=rerank is True),
            self.settings.max_megapixels,
        )

    def reranker(self, encoder: Encoder | None = None) -> Reranker:
        """The reranker for this library's model, loaded once.  Raises ModelError where there is none, NoModelError."""
        encoder = encoder or self.encoder()
        with self._lock:
            if self._reranker is None or self._reranker.encoder is not encoder:
                self._reranker = for_encoder(encoder, self.settings.reranker)
            return self._reranker

    def _second_stage(self, encoder: Encoder, wanted: bool) -> SecondStage | None:
        """Raises ModelError, where it is wanted, when there is no reranker, or one that does not fit.

        Where it is not wanted, the latter is a warning: a wrong setting must not stop a search.
        """
        try:
            if not wanted and find(encoder.card, self.settings.reranker) is None:
                return None
            reranker = self.reranker(encoder)
        except ModelError as error:
            if wanted:
                raise
            log.warning(LEFT_OUT, error)
            return None
        if not (wanted or reranker.card.helps):
            return None
        return SecondStage(reranker, self.settings.rerank_candidates, wanted)

    def looker(self) -> Looker:
        """To look closely at photos with; they need not be in the library.

        Of a photo of the library whose file is gone, the stored region tokens are looked at.  Raises NoModelError,
        ModelError, ModelMismatchError.
        """
        from mmsearch.rerank.inspect import Looker

        stored = self._stored()
        reranker = self.reranker()
        encoder = self.encoder(stored)
        card = encoder.card.regions

        def tokens(path: str) -> Regions | None:
            vectors = (self.store.vector_of(way, stored) for way in spellings(path))
            vector = next((number for number in vectors if number is not None), None)
            if vector is None or card is None:
                return None
            found, there = self.store.regions(np.array([vector], np.int64), stored, card)
            return found if there[0] else None

        return Looker(encoder, reranker, self.settings.max_megapixels, tokens)

    def caption(self, path: str | os.PathLike[str], alternatives: int = 0) -> list[Caption]:
        """What a photo shows: the best caption, then ``alternatives``.  Raises ImageError, and as ``looker`` does."""
        return self.looker().caption(os.fspath(path), alternatives)

    def ask(self, path: str | os.PathLike[str], question: str, k: int = 3) -> list[Answer]:
        """The ``k`` likeliest answers to a question about a photo.  Raises QueryError too."""
        return self.looker().ask(os.fspath(path), question, k)

    def explain(self, path: str | os.PathLike[str], text: str, by: By = "match") -> Explanation:
        """How well a text fits a photo, and where its words are found.  Raises QueryError too."""
        return self.looker().explain(os.fspath(path), text, by)

    def tag(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        *,
        vocabulary: str | os.PathLike[str] | Vocabulary | None = None,
        threshold: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> TagReport:
        """Give pictures the words of a vocabulary that fit them: all pictures, or those in or below ``paths``.

        ``vocabulary`` is a file (see ``language/vocabulary.py``) in place of the one that ships.  A picture has tags of
        one vocabulary: those of another one, or of another ``threshold`` in (0, 1], are replaced.  Stored vectors are
        judged, no picture is opened.  Those that were compared with this vocabulary before are left alone; Ctrl-C keeps
        what is stored by then.  Raises VocabularyError, SourceError, NoModelError, ModelError, LibraryBusyError,
        LibraryError.
        """
        from mmsearch.ingest.enrich import tags
        from mmsearch.ingest.enrich.runner import enrich
        from mmsearch.ingest.options import Options as IngestOptions
        from mmsearch.language.vocabulary import Vocabulary, builtin, read

        begun = time.perf_counter()
        if not isinstance(vocabulary, Vocabulary):
            vocabulary = builtin() if vocabulary is None else read(Path(os.path.expanduser(vocabulary)))
        if threshold is None:
            threshold = tags.THRESHOLD
        stored = self._stored()
        places = self._places(stored, paths)

        def encode(texts: Sequence[str]) -> Vectors:
            return self.encoder(stored).encode_texts(texts)  # loaded only where texts are new

        with self._writing():
            tagger = tags.Tagger(vocabulary, stored.fingerprint, encode, self.settings.cache, threshold)
            work = tags.Tags(self.store, stored, tagger, places)
            done = enrich(work, self.store, IngestOptions(), IndexReport(), progress).enriched[work.name]
        return tags.TagReport(done, self.store.tag_counts(places), round(time.perf_counter() - begun, 3))

    def tags(self, within: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = ()) -> dict[str, int]:
        """How many files have each tag, the most frequent first; ``within`` keeps those in or below these paths.

        Raises SourceError where no picture is, NoModelError.
        """
        return self.store.tag_counts(self._places(self._stored(), within))

    def clear_tags(self, within: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = ()) -> int:
        """Forget the tags of all pictures, or of those in or below these paths; returns of how many.

        Copies of one picture count once, and lose their tags together.  Raises SourceError where no picture is,
        NoModelError, LibraryBusyError, LibraryError.
        """
        places = self._places(self._stored(), within)
        with self._writing(), self.store.writing() as writer:
            return writer.clear_tags(places)

    def _places(
        self, stored: StoredModel, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    ) -> list[str]:
        """How the store may write these paths.  Raises SourceError for one where no picture can be found."""
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        for path in given:
            if not os.fspath(path) or not len(self.store.searchable(stored, spellings(path))):
                raise SourceError(
                    f"{os.fspath(path)!r}: no picture of the library lies there; index it first: mmsearch index PATH"
                )
        return [way for path in given for way in spellings(path)]

    def remove(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> int:
        """Forget files, or everything below folders; the files themselves stay.  Returns how many were forgotten."""
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        with self._writing():
            return self._forget(given)

    def _forget(self, paths: Sequence[str | os.PathLike[str]]) -> int:
        stored = self.store.model()
        if stored is not None:
            self._refresh(stored)
        with self.store.writing() as writer:
            # The path as it is written goes first: a link in a known folder is forgotten, not what it leads to.
            removed = sum(next((gone for way in spellings(path) if (gone := writer.remove(way))), 0) for path in paths)
            writer.sweep()
        if stored is not None:
            self._refresh(stored, save=True)
        return removed

    def duplicates(
        self,
        level: Level = "near",
        *,
        within: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        threshold: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Group]:
        """Groups of files that show the same, those that take most space first.

        ``level`` is "exact" for the same bytes, "near" for the same shot too, "burst" for shots of one scene within
        seconds too.  ``within`` keeps the files in or below these paths.  ``threshold`` is the least cosine of near
        pictures and bursts, in place of what was measured to serve.  The files must be there: pictures that are near by
        vector and hash are compared by their pixels.  Those that are gone, have changed since they were indexed or
        cannot be read are left alone, and logged.  Raises NoModelError, SourceError.
        """
        from mmsearch.manage import duplicates

        stored = self._stored()
        given = [within] if isinstance(within, (str, os.PathLike)) else list(within)
        for path in given:
            if not os.path.lexists(_absolute(path)) and not len(self.store.searchable(stored, spellings(path))):
                raise SourceError(f"{os.fspath(path)}: no such file or folder, and no picture is known there")
        places = [way for path in given for way in spellings(path)]
        settings = self.settings
        groups, left = duplicates.find(
            self.store, stored, level, places, threshold, settings.max_megapixels, settings.decoders, progress
        )
        for line in duplicates.left_alone(left):
            log.warning("%s", line)
        return groups

    def set_aside(
        self,
        groups: Sequence[Group],
        folder: str | os.PathLike[str],
        *,
        dry: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Moved | Skipped]:
        """Move all files of groups but the kept ones into a folder, and forget them; with ``dry`` only say where to.

        Each file is looked at once more before it goes; what became of each is returned.  ``moved.tsv`` in the folder
        says where they were.  Raises SourceError where the folder is indexed or cannot be written, LibraryBusyError.
        """
        from mmsearch.manage import move_aside

        target = _absolute(folder)
        move_aside.check(groups, target, self.store.roots())
        if dry:
            return list(move_aside.planned(groups, target))
        total = sum(len(group.others) for group in groups)
        done: list[Moved | Skipped] = []
        with self._writing():
            try:
                for one in move_aside.move(groups, target, self.settings.max_megapixels):
                    done.append(one)
                    if progress is not None:
                        progress(
                            Progress(len(done), total, one.source if isinstance(one, move_aside.Moved) else one.path)
                        )
            finally:  # after Ctrl-C too: the library forgets what was moved by then
                self._forget([one.source for one in done if isinstance(one, move_aside.Moved)])
        return done

    def kept_models(self) -> list[KeptModel]:
        """The models that this library has vectors of, the one that is searched with first."""
        return self.store.kept_models()

    def precision_of(self, model: StoredModel) -> str | None:
        """The precision of a model that is kept, such as ``float32`` or ``int8``; None where nothing here tells."""
        return factory.precision_of(model.fingerprint, self.settings.cache)

    def activate(self, name: str) -> StoredModel:
        """Search with another model whose vectors are kept.  Raises ModelError where they are not, or not complete."""
        with self._writing():
            kept = self.store.kept_models()
            fitting = [one for one in kept if name in (one.model.name, one.model.fingerprint)]
            chosen = min(fitting, key=lambda one: one.active, default=None)  # the other one, of two precisions
            if chosen is None:
                names = ", ".join(one.model.name for one in kept) or "none"
                raise ModelError(
                    f"the library has no vectors of {name!r}, only of: {names}; "
                    f"make some: mmsearch reindex --model {name}"
                )
            if chosen.lacking:
                raise ModelError(
                    f"{chosen.lacking} pictures have no vector of {chosen.model.name} yet; they get one, and it is "
                    f"searched with, by: mmsearch reindex --model {chosen.model.name}"
                )
            with self.store.writing() as writer:
                writer.activate(chosen.model)
            self._refresh(chosen.model, save=True)
            self._keep_up(chosen.model, None)
        return chosen.model

    def prune(self) -> int:
        """Drop the vectors of models that are not searched with, and free their space; returns how many."""
        with self._writing():
            with self.store.writing() as writer:
                gone = writer.prune()
            self.store.vacuum()
        return gone

    def verify(self, deep: bool = False, progress: Callable[[Progress], None] | None = None) -> list[Damage]:
        """Everything that is not in order in the database, the index, and between them; empty where all is well.

        With ``deep``, all vectors of the index are compared and the content of every picture file is read.
        """
        from mmsearch.manage import health

        return health.look(self._parts(), deep, progress)

    def repair(self, deep: bool = False, progress: Callable[[Progress], None] | None = None) -> Repaired:
        """Mend what ``verify`` finds: what can be made again is; pictures are marked for the next ``index`` to read.

        Raises LibraryBusyError, LibraryError.
        """
        from mmsearch.manage import health

        mended: dict[str, Damage] = {}
        with self._writing():
            for _ in range(_LOOKS):
                found = health.look(self._parts(), deep, progress)
                if not any(one.mendable for one in found):
                    break
                self._mend(found)
                mended |= {one.kind: one for one in found if one.mendable}
            else:
                found = health.look(self._parts(), deep, progress)
            if mended and not found and (stored := self.store.model()) is not None:
                self._refresh(stored, save=True)
                self._keep_up(stored, progress)
        left = {one.kind for one in found}
        return Repaired(tuple(one for kind, one in mended.items() if kind not in left), tuple(found))

    def _mend(self, found: Sequence[Damage]) -> None:

        kinds = {one.kind for one in found}
        if "background" in kinds:
            for file in self.folder.glob("background-*.npy"):
                file.unlink()
        if "index" in kinds:
            self._cache(self._stored())[0].clear()
        elif "changed files" in kinds:
            with self.store.writing() as writer:
                writer.read_again(path for one in found for path in one.examples)
        else:
            self.store.mend(self._parts().card)
        with self._lock:
            self._index, self._saved = None, -1
            self._banks.clear()

    def _parts(self) -> Parts:
        from mmsearch.manage.health import Parts

        stored = self.store.model()
        card = None
        if stored is not None:
            try:
                card = self.encoder(stored).card.regions
            except ModelError as error:
                log.info("region tokens are not looked at: %s", error)
        return Parts(self.store, self.folder, stored, lambda model: self._cache(model)[0], self._rows, card)

    def backup(
        self,
        file: str | os.PathLike[str],
        *,
        force: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Copy all but the index to one file, while others may search and index.  ``mmsearch.restore`` puts it back.

        An existing file is replaced only with ``force``.  Raises TransferError.
        """
        from mmsearch.store.sqlite.backup import backup

        backup(self.store.file, Path(file), force, progress)

    def export(
        self, folder: str | os.PathLike[str], *, progress: Callable[[Progress], None] | None = None
    ) -> ExportReport:
        """Write vectors, paths and all that is known of the pictures into a new folder, for any program to read.

        ``manage/exchange.py`` says which files and columns there are.  Raises TransferError, NoModelError.
        """
        from mmsearch.manage import export

        return export.export(self.store, self._stored(), Path(folder), progress)

    def import_from(
        self,
        folder: str | os.PathLike[str],
        *,
        model: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> ImportReport:
        """Add what an export holds, or vectors that another program made; nothing is encoded.

        The latter are ``vectors.npy`` and ``photos.csv`` with a column ``path``, without ``model.json``; ``model`` says
        what made them, and nobody can check that.  A library takes vectors of its own model only.  Files that it knows
        already stay as they are; Ctrl-C keeps what is stored by then.
        Raises TransferError, ModelError, ModelMismatchError, LibraryBusyError, LibraryError.
        """
        from mmsearch.ingest.options import Options as IngestOptions
        from mmsearch.manage import import_vectors

        given = import_vectors.look(Path(folder))
        if (given.made is None) != (model is not None and model != "auto"):
            raise TransferError(
                f"{folder} has no model.json: say which model made its vectors, --model NAME"
                if given.made is None
                else f"{folder} says itself which model made its vectors ({given.made.name}): leave out --model"
            )
        settings = self.settings
        options = IngestOptions.from_settings(settings)
        with self._writing():
            encoder = self._named(model) if given.made is None else None
            made = given.made if encoder is None else encoder.card
            assert made is not None  # an encoder makes up for it
            dim = given.vectors.shape[1]
            if made.dim != dim:
                raise TransferError(f"{folder} has vectors of {dim} dimensions, {made.name} makes {made.dim}")
            stored = self._bound(made.name, made.fingerprint, made.dim)
            self._refresh(stored)
            try:
                if encoder is None:
                    report = import_vectors.take_export(self.store, stored, given, progress)
                else:
                    preprocess = encoder.card.preprocess
                    report = import_vectors.take_vectors(self.store, stored, preprocess, given, options, progress)
            finally:
                self._refresh(stored, save=True)
            try:
                self._keep_up(stored, progress)
            except ModelError as error:
                log.warning("the index stays as it was: %s", error)
            return report

    def status(self) -> Status:
        counts, stored, summary = self.store.counts(), self.store.model(), self.store.summary()
        index = None if stored is None else self._refresh(stored)
        return Status(
            library=str(self.folder),
            photos=counts.photos,
            regions=self.store.with_regions(stored) if stored else 0,
            captions=summary.captions,
            failed=counts.failed,
            missing=counts.missing,
            model=stored.name if stored else None,
            dim=stored.dim if stored else None,
            fingerprint=stored.fingerprint if stored else None,
            precision=factory.precision_of(stored.fingerprint, self.settings.cache) if stored else None,
            index=len(index) if index is not None else 0,
            index_kind=index.kind if index is not None else None,
            recall=None if index is None else index.recall,
            generation=self.store.generation(),
            bytes=_bytes(self.folder),
            roots=tuple(self.store.roots()),
            failures=tuple(self.store.failures()),
            summary=summary,
        )

    def encoder(self, stored: StoredModel | None = None) -> Encoder:
        """The encoder of this library's model, loaded once.  Raises NoModelError, ModelError, ModelMismatchError."""
        stored = stored or self._stored()
        with self._lock:
            if self._encoder is None or self._encoder.card.fingerprint != stored.fingerprint:
                encoder = self._given or factory.for_card(
                    stored.name, stored.fingerprint, self.settings.device, self.settings.cache
                )
                if encoder.card.fingerprint != stored.fingerprint:
                    raise ModelMismatchError(encoder.card.name, stored.name)
                self._encoder = factory.measuring(encoder, self.settings.cache)
            return self._encoder

    def _stored(self) -> StoredModel:
        stored = self.store.model()
        if stored is None:
            raise NoModelError(f"the library {self.folder} is empty: index some pictures first, mmsearch index FOLDER")
        return stored

    def _bind(self, name: str | None, everything: bool) -> tuple[StoredModel, Encoder]:
        """The library's model; the first time, the chosen one; another one only where all is read with it."""
        stored = self.store.model()
        if stored is not None and (name is None or name == "auto" or (not everything and self._has(stored, name))):
            return stored, self.encoder(stored)  # in the precision that the library has
        encoder = self._named(name)
        return self._bound(encoder.card.name, encoder.card.fingerprint, encoder.card.dim, everything), encoder

    def _has(self, stored: StoredModel, name: str) -> bool:
        """Whether the library's model is called so.  Raises ModelError when none is."""
        return self._given is None and factory.full_name(name, self.settings.cache) == stored.name

    def _named(self, name: str | None) -> Encoder:
        """The encoder of this name, or the one that the settings name."""
        if self._given is not None:
            return self._given
        settings = self.settings
        choice = factory.choose(
            name or settings.model, settings.device, settings.cache, (settings.cpu_model, settings.gpu_model),
            precision=settings.precision,
        )  # fmt: skip
        if choice.note:
            log.info("%s", choice.note)
        return factory.measuring(choice.encoder, settings.cache)

    def _bound(self, name: str, fingerprint: str, dim: int, everything: bool = False) -> StoredModel:
        """Room for the vectors of a model: of the library's own, but where ``everything`` gets new ones."""
        stored = self.store.model()
        if stored is None or stored.fingerprint != fingerprint:
            if stored is not None and not everything:
                raise ModelMismatchError(name, stored.name)
            with self.store.writing() as writer:
                stored = writer.add_model(name, fingerprint, dim, active=stored is None)
        return stored

    def _switch(self, model: StoredModel, active: StoredModel) -> list[str]:
        """From now on search with this model, if its vectors are complete; else a note that says why not."""
        lacking = self.store.pending_vectors(model)
        if lacking:
            return [
                f"still searching with {active.name}: {lacking} pictures have no vector of {model.name} yet, because "
                f"their folders are not there or they cannot be read; run the same command again when they are, or "
                f"forget them with: mmsearch remove PATH"
            ]
        with self.store.writing() as writer:
            writer.activate(model)
        return []

    def _refresh(self, stored: StoredModel, save: bool = False) -> StoredIndex:
        """The index, caught up with the store; written to disk with ``save``, and where there was none.

        Its rows are the vectors and, after them, their background: 0 where there is no bank to take it from.
        """
        with self._lock:
            generation = self.store.generation()
            cache, key = self._cache(stored)
            if self._index is None or self._index[2] != key or self._index[1] > generation:
                index, self._saved = cache.load(generation)
                self._index = index, self._saved, key
            index, built, _ = self._index
            if self._saved != -1 and built < generation:
                newer, its = cache.load(generation, than=built)
                if its > built:  # another process has written it
                    index, built, self._saved = newer, its, its
            save = save or self._saved == -1
            while built != generation:
                wanted = self.store.searchable(stored)
                try:
                    index = caught_up(index, wanted, self._rows(stored), cache.hold if save else None)
                    break
                except KeyError:  # another process has removed some in between: look again
                    generation = self.store.generation()
                except (LibraryError, OSError) as error:
                    log.warning("%s; the next start will build it again", error)
                    save = False
            if self._saved != generation and save:
                index = self._written(cache, index, generation)
            self._index = index, generation, key
            return index

    def _searched(self, stored: StoredModel) -> StoredIndex:
        """The index to search: with its rows on the GPUs, where the settings ask for them and there are many rows."""
        index = self._refresh(stored)
        device: Literal["cpu", "cuda"] = "cuda" if self.settings.device == "cuda" else "cpu"
        if choose(len(index.rows), index.dim, device=device).kind != "gpu":
            return index
        from mmsearch.indexes.gpu import on_gpus

        with self._lock:
            if self._on_gpus is None or self._on_gpus[0] is not index:
                self._on_gpus = index, on_gpus(index)
            return self._on_gpus[1]

    @contextmanager
    def _kept_beside(
        self, stored: StoredModel, progress: Callable[[Progress], None] | None
    ) -> Iterator[Callable[[Progress], None]]:
        """Keeps the index up while many pictures are stored, so that searches meanwhile need not do it.

        Gives what an index run is to call after each picture, in place of ``progress``.
        """
        from mmsearch.ingest.background_job import Beside

        apart = self._builder(stored, gently=True)
        last: deque[Progress] = deque(maxlen=1)

        def work() -> None:
            self._refresh(stored, save=True)
            self._keep_up(stored, last.append, apart)

        def waits() -> None:
            if last and progress is not None:
                progress(last[-1])

        def told(done: Progress) -> None:
            beside.stored(done.done)
            if progress is not None:
                progress(done)

        with Beside(work, apart.stop, len(self._refresh(stored)), waits) as beside:
            yield told

    def _keep_up(
        self, stored: StoredModel, progress: Callable[[Progress], None] | None, builder: Apart | None = None
    ) -> None:
        """Build, extend or tidy the index, if that is due; searches go on with the one that there is."""
        builder = builder or self._builder(stored)
        with self._lock:
            index = self._refresh(stored)

        def told(done: int, total: int) -> None:
            if progress is not None:
                progress(Progress(done, total, str(self.folder), "index"))

        def queries() -> Vectors:
            return self._typical_queries(stored)

        memory, recall, cache = half_of_memory(), self.settings.recall, self._cache(stored)[0]
        try:
            better = kept_up(index, queries, recall, memory, told, builder, cache.hold)
        except (RuntimeError, MemoryError, LibraryError, OSError) as error:  # of FAISS, or of a full disk
            if not builder.stopped:
                log.warning("the index stays as it was: %s", str(error).partition("\n")[0] or "not enough memory")
            return
        with self._lock:
            if better is not index and self._index is not None:
                now, generation, key = self._index
                if now is not index and better.rows is index.rows and now.rows.begins_as(index.rows):
                    better = StoredIndex(now.rows, now.dead, better.likely)  # it has grown meanwhile
                elif now is not index:
                    return
                self._index = self._written(cache, better, generation), generation, key

    def _builder(self, stored: StoredModel, gently: bool = False) -> Apart:
        from mmsearch.indexes.build_process import Apart

        return Apart(self._cache(stored)[0].folder, gently)

    def _written(self, cache: IndexCache, index: StoredIndex, generation: int) -> StoredIndex:
        """The index as it is on disk now; as it was where it cannot be written."""
        try:
            index = cache.save(index, generation)
            self._saved = generation
        except (LibraryError, OSError) as error:
            log.warning("%s; the next start will build it again", error)
        return index

    def _cache(self, stored: StoredModel) -> tuple[IndexCache, tuple[StoredModel, str]]:
        """The files of the index of a model, and what tells that index from others."""
        version = querybank.version(self.folder, stored.fingerprint)
        name = f"{stored.fingerprint}-{'plain' if self._bank(stored) is None else version}"
        identity = self.store.identity()  # another one since a backup was restored
        return IndexCache(self.folder / "index", identity, name, stored.dim + 1), (stored, f"{identity}-{name}")

    def _rows(self, stored: StoredModel) -> Callable[[Ids], Vectors]:
        """Fetches the rows of the index."""
        bank_of = self._bank(stored)

        def rows(ids: Ids) -> Vectors:
            vectors = self.store.vectors(ids, stored.dim)
            own = np.zeros(len(ids)) if bank_of is None else handicap(vectors, bank_of, 1.0, querybank.NEAREST)
            return np.column_stack([vectors, own]).astype(np.float32)

        return rows

    def _typical_queries(self, stored: StoredModel) -> Vectors:
        """What an index is asked for texts such as people type, (n, dim + 1)."""
        encoder, texts = self.encoder(stored), scenes()[::TYPICAL]
        starts = range(0, len(texts), querybank.AT_ONCE)
        vectors = np.concatenate([encoder.encode_texts(texts[start : start + querybank.AT_ONCE]) for start in starts])
        asked = [
            retrieval.asked(retrieval.Part(v, beta=retrieval.beta(t))) for v, t in zip(vectors, texts, strict=True)
        ]
        return np.stack(asked)

    def _bank(self, stored: StoredModel) -> Vectors | None:
        """The bank of a model, kept in the library's folder: it is needed without the encoder too.

        None where it was never made and the encoder cannot be loaded.
        """
        with self._lock:
            if self._banks.get(stored.fingerprint) is None:
                version = querybank.version(self.folder, stored.fingerprint)
                file = self.folder / querybank.bank_file(stored.fingerprint, version)
                try:
                    self._banks[stored.fingerprint] = querybank.load(file)
                except (OSError, ValueError):
                    try:
                        made = querybank.vectors(self.encoder(stored))
                    except ModelError as error:
                        log.info("searching without background correction: %s", error)
                        return None
                    with contextlib.suppress(OSError):  # a library that may only be read
                        querybank.save(file, made)
                    self._banks[stored.fingerprint] = made
            return self._banks[stored.fingerprint]

    def _writing(self) -> WriterLock:
        return WriterLock(self.folder)


def _absolute(path: str | os.PathLike[str]) -> str:
    """One name for one place: links followed, ``~`` expanded.  Raises SourceError for an empty path."""
    if not os.fspath(path):
        raise SourceError("the path is empty; for the current folder write .")
    return os.path.realpath(os.path.expanduser(path))


def _bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be writing
            total += file.stat().st_size if file.is_file() else 0
    return total


def _query(query: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Query) -> Query:
    if isinstance(query, Query):
        return query
    given = [query] if isinstance(query, (str, os.PathLike)) else list(query)
    # A path object is always a file; "./" says so to the parser where it is relative.
    words = [os.path.abspath(word) if isinstance(word, os.PathLike) else word for word in given]
    return parse(words)
