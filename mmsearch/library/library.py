"""A library: a folder with the truth (``library.sqlite``) and the index made from it (``index/``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch import config
from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import TransferError
from mmsearch.library.arguments import Asked, ShownAs, absolute, parsed, shown
from mmsearch.library.browsing import Browsing
from mmsearch.library.checked import checked_methods
from mmsearch.library.models import Models
from mmsearch.library.results import LibraryResult
from mmsearch.library.searching import Searcher
from mmsearch.library.sharing import Sharing
from mmsearch.library.status import Status, status
from mmsearch.library.tags import Tagging
from mmsearch.query.model import Condition, Query
from mmsearch.rerank.reranker import Reranker
from mmsearch.search.options import Options
from mmsearch.store.breaker import Engines
from mmsearch.store.paths import spellings
from mmsearch.store.types import KeptModel, Losses, StoredModel
from mmsearch.types import IndexReport, PathLike, Paths, Progress, Skipped, path_list

if TYPE_CHECKING:  # a search needs none of these, and is to start quickly
    from mmsearch.library.calibrating import CalibrationReport
    from mmsearch.library.imagining import Sketch
    from mmsearch.library.indexing import Ingest
    from mmsearch.library.repair import Checkup, Repaired
    from mmsearch.manage.duplicates import Group, Level
    from mmsearch.manage.export import ExportReport
    from mmsearch.manage.import_vectors import ImportReport
    from mmsearch.manage.move_aside import Moved
    from mmsearch.rerank.captions import Caption
    from mmsearch.rerank.inspect import By, Explanation, Looker
    from mmsearch.rerank.reranker import Answer
    from mmsearch.store.protocol import Lock, Store, VectorSearch
    from mmsearch.store.types import Damage


@checked_methods
class Library(Browsing, Tagging, Sharing):
    """Pictures that can be found.  A context manager; safe to search from several threads, also while indexing.

    ``open_library`` puts its parts together: the truth (``store``), the index made from it (``vectors``), what encodes
    and reranks (``models``), the ``lock`` of those who write, and the ``settings``.
    """

    def __init__(
        self, store: Store, vectors: VectorSearch, models: Models, lock: Lock, settings: config.Settings,
        engines: Engines | None = None,
    ) -> None:  # fmt: skip
        self.store, self.vectors, self.models, self.lock, self.settings = store, vectors, models, lock, settings
        self.engines = engines or Engines()  # the servers that are asked, and what is known of them

    @property
    def folder(self) -> Path:
        return self.store.folder

    def close(self) -> None:
        """Let go of the database; whatever is asked of the library afterwards is a LibraryError."""
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def index(
        self,
        paths: Paths = (),
        *,
        urls: PathLike | Sequence[str] = (),
        model: str | None = None,
        exclude: str | Sequence[str] | None = None,
        max_megapixels: float | None = None,
        captions: bool = False,
        ocr: bool = False,
        wait: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Bring the library up to date with folders and files; without ``paths`` and ``urls``, with all that it knows.

        A path may be an address: ``s3://bucket/prefix``, ``gs://``, ``az://``, or of one file, ``https://``.  ``urls``
        are addresses of single files, or the path of a table or text of them (``ingest/url_list.py``): they are added,
        and none is missing because it is not named any more.
        A library keeps its model: ``model`` chooses it the first time, and changes it later where no ``paths`` are
        given: all is encoded anew while the old vectors serve, and the new ones take over when they are complete.  The
        old ones are kept, for ``activate``.
        Pictures that were indexed without region tokens get them at the end, unless ``settings.regions`` is off.
        With ``captions``, those that have region tokens get a caption, where they have none of the present reranker.
        Files beside photos, such as ``photo.txt`` and ``photo.xmp``, are read where they are new or have changed.  With
        ``ocr``, text inside pictures is read where that was not done yet.
        With ``wait``, another process that writes to the library is waited for, in place of LibraryBusyError.
        ``exclude`` are globs of names or paths to leave out, in later runs too; ``()`` leaves out nothing any more.
        ``progress`` is called after each file read, in this thread.  Files that cannot be read are in the report's
        ``skipped``.  Ctrl-C keeps what is stored.  Raises SourceError, ModelError, ModelMismatchError, LibraryError.

        >>> report = library.index("photos")
        >>> report.added, report.unchanged, report.skipped
        (0, 5, ())
        """
        asked = frozenset(name for name, wanted in {"captions": captions, "texts": ocr}.items() if wanted)
        ingest = self._ingest(progress)
        request = ingest.request(paths, urls, exclude, max_megapixels, asked)
        with self.lock(wait):
            return ingest.index(request, model)

    def _ingest(self, progress: Callable[[Progress], None] | None) -> Ingest:
        from mmsearch.library.indexing import Ingest

        return Ingest(self.store, self.vectors, self.models, self.settings, progress)

    def search(
        self,
        query: Asked | Sequence[Asked] | Query,
        k: int = 10,
        *,
        offset: int = 0,
        within: Paths = (),
        where: str | Sequence[Condition] = (),
        rerank: bool | None = None,
        min_relevance: float | None = None,
        diverse: bool = False,
        like: ShownAs | Sequence[ShownAs] = (),
        unlike: ShownAs | Sequence[ShownAs] = (),
        imagine: bool = False,
    ) -> LibraryResult:
        """The ``k`` best pictures for a query: what a person types, a picture or a vector, or several of these.

        A picture is a ``Path``, the bytes of a file, a Pillow image, or pixels (height, width, 3) uint8 in RGB, and a
        vector an array (dim,) of the library's model.
        ``offset`` leaves out the best ones: that of the next page is ``result.next_offset``.  What a person should know
        is in ``result.notes``.
        ``within`` keeps those in or below these paths, ``where`` those that meet conditions, in the query language
        ("date:2024 type:jpeg") or as values.  With ``rerank`` the best ``settings.rerank_candidates`` are looked at
        again, if the query has words, and questions are answered; None does so where the model has a reranker that was
        measured to help.  Hits below ``min_relevance``, in [0, 1], are left out; None takes the setting where relevance
        is known.  ``diverse`` folds near-duplicates and bursts into one hit and prefers hits that differ.  ``like`` and
        ``unlike`` are pictures of which more or less is wanted, one or several, as in ``query``; texts are paths.
        With ``imagine`` pictures that the embedded model's generator imagines of the words are looked for beside them;
        they were measured to find no more (``docs/imagine.md``), and the relevance of hits is not known then.
        What does not answer within ``settings.search_timeout`` is done without: ``result.unreachable`` names it.
        Raises QueryError, ArgumentError, DimensionError, NoModelError, ModelError, LibraryError.

        >>> [os.path.basename(hit.path) for hit in library.search("a man with a camera", k=1)]
        ['cameraman.png']
        >>> [os.path.basename(hit.path) for hit in library.search("a motorcycle", where="type:png width:>500", k=1)]
        ['motorcycle.png']
        """
        options = Options(
            k, offset, [way for folder in path_list(within) for way in spellings(folder)],
            min_relevance, self.settings.min_relevance, diverse, shown("like", like), shown("unlike", unlike),
            imagine,
        )  # fmt: skip
        searcher = Searcher(
            self.store, self.vectors, self.models, self.settings.max_megapixels, self.settings.search_timeout,
            self.engines,
        )  # fmt: skip
        return searcher.search(parsed(query, where), options, rerank)

    def encoder(self, stored: StoredModel | None = None) -> Encoder:
        """The encoder of this library's model, loaded once.  Raises NoModelError, ModelError, ModelMismatchError."""
        return self.models.encoder(stored)

    def reranker(self, encoder: Encoder | None = None) -> Reranker:
        """The reranker for this library's model, loaded once.  Raises ModelError where there is none, NoModelError."""
        return self.models.reranker(encoder)

    def looker(self) -> Looker:
        """To look closely at photos with; they need not be in the library.

        Of a photo of the library whose file is gone, the stored region tokens are looked at.  Raises NoModelError,
        ModelError, ModelMismatchError.
        """
        from mmsearch.library.looking import looker

        return looker(self.store, self.models, self.settings.max_megapixels)

    def caption(self, path: PathLike, alternatives: int = 0) -> list[Caption]:
        """What a photo shows: the best caption, then ``alternatives``.  Raises ImageError, and as ``looker`` does.

        >>> library.caption("photos/trips/motorcycle.png")[0].text
        'a man in a red shirt is riding a motorcycle'
        """
        return self.looker().caption(os.fspath(path), alternatives)

    def ask(self, path: PathLike, question: str, k: int = 3) -> list[Answer]:
        """The ``k`` likeliest answers to a question about a photo, best first.  Raises as ``caption``, and QueryError.

        >>> library.ask("photos/cat.png", "Is there a cat?")[0].text
        'yes'
        """
        return self.looker().ask(os.fspath(path), question, k)

    def explain(self, path: PathLike, text: str, by: By = "match") -> Explanation:
        """How well a text fits a photo, and where its words are found.  Raises as ``caption``, and QueryError.

        >>> [word.word for word in library.explain("photos/cat.png", "a cat").words]
        ['cat']
        """
        return self.looker().explain(os.fspath(path), text, by)

    def imagine(self, text: str, count: int = 4, *, regions: int = 4) -> list[Sketch]:
        """Sketches of what a text makes the embedded model look for, and the ``regions`` nearest to each in photos.

        They are drawn by a small decoder and are no photos; the same text gets the same ones.  Regions are looked for
        in the best photos for the words that have region tokens.  Raises ModelError for a library of another model,
        QueryError, ArgumentError.

        >>> sketch, = library.imagine("a motorcycle", count=1)
        >>> sketch.pixels.shape, len(sketch.regions)
        ((128, 128, 3), 4)
        """
        from mmsearch.library.imagining import imagine

        return imagine(self, text, count, regions)

    def losses(self, paths: Paths) -> Losses:
        """What ``remove`` would lose that ``index`` does not bring back by itself: read texts, captions, own tags."""
        from mmsearch.library.forget import losses

        return losses(self.store, path_list(paths))

    def calibrate(
        self,
        captioned: PathLike | Mapping[str, Sequence[str]] | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> CalibrationReport:
        """Fit relevance to this library by captions of its pictures; it is kept where it tells better than before.

        ``captioned`` is a file with lines of file name, tab and caption, or captions by file name; None takes what is
        written in and beside the files.  Raises SourceError for too few, NoModelError, ModelError, LibraryBusyError.
        """
        from mmsearch.library.calibrating import calibrate

        with self.lock():
            return calibrate(self.store, self.models, captioned, progress)

    def clear_calibration(self) -> bool:
        """Forget what ``calibrate`` fitted; whether there was anything.  Raises NoModelError, LibraryBusyError."""
        from mmsearch.library.calibrating import forget

        with self.lock():
            return forget(self.models)

    def remove(self, paths: Paths) -> int:
        """Forget files, or everything below folders; the files themselves stay.  Returns how many were forgotten.

        Read texts, captions and tags that people gave go with them (``losses``).
        """
        with self.lock():
            return self._forget(path_list(paths))

    def _forget(self, paths: Sequence[PathLike]) -> int:
        from mmsearch.library.forget import forget

        return forget(self.store, self.vectors, paths)

    def duplicates(
        self,
        level: Level = "near",
        *,
        within: Paths = (),
        threshold: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Group]:
        """Groups of files that show the same, those that take most space first.

        ``level`` is "exact" for the same bytes, "near" for the same shot too, "burst" for shots of one scene within
        seconds too.  ``within`` keeps the files in or below these paths.  ``threshold`` is the least cosine of near
        pictures and bursts, in place of what was measured to serve.  The files must be there: pictures that are near by
        vector and hash are compared by their pixels.  Those that are gone, have changed since they were indexed or
        cannot be read are left alone, and logged.  Raises NoModelError, SourceError.

        >>> library.duplicates("exact")
        []
        """
        from mmsearch.library.tidying import groups

        return groups(self.store, self.models, self.settings, level, within, threshold, progress)

    def set_aside(
        self,
        groups: Sequence[Group],
        folder: PathLike,
        *,
        dry: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Moved | Skipped]:
        """Move all files of groups but the kept ones into a folder, and forget them; with ``dry`` only say where to.

        Each file is looked at once more before it goes, with the sidecars, clips and raw files that belong to it; what
        became of each is returned.  ``moved.tsv`` in the folder says where they were (``move_back.undo``).  Raises
        SourceError where the folder is indexed or cannot be written, LibraryBusyError.
        """
        from mmsearch.manage import move_aside

        target, roots = absolute(folder), self.store.roots()
        move_aside.check(groups, target, roots)
        if dry:
            return list(move_aside.planned(groups, target, roots))
        with self.lock():
            return move_aside.move_all(groups, target, roots, self._forget, self.settings.max_megapixels, progress)

    def kept_models(self) -> list[KeptModel]:
        """The models that this library has vectors of, the one that is searched with first."""
        return self.store.kept_models()

    def precision_of(self, stored: StoredModel) -> str | None:
        """The precision of a model that is kept, such as ``float32`` or ``int8``; None where nothing here tells."""
        return self.models.precision_of(stored)

    def activate(self, name: str) -> StoredModel:
        """Search with another model whose vectors are kept.  Raises ModelError where they are not, or not complete."""
        with self.lock():
            chosen = self.models.kept(name)
            with self.store.writing() as writer:
                writer.activate(chosen)
            self.vectors.refresh(chosen, save=True)
            self.models.forget_others(chosen)
            self.vectors.maintain(chosen, None)
        return chosen

    def prune(self) -> int:
        """Drop the vectors of models that are not searched with, and free their space; returns how many.

        Those of the embedded model stay where the library's region tokens are its own.
        """
        with self.lock():
            keep = self.models.beside()
            with self.store.writing() as writer:
                gone = writer.prune(keep)
            self.store.tidy_blobs()
            self.store.vacuum()
        return gone

    def verify(self, deep: bool = False, progress: Callable[[Progress], None] | None = None) -> list[Damage]:
        """Everything that is not in order in the database, the index, and between them; empty where all is well.

        With ``deep``, all vectors of the index are compared and the content of every picture file is read.
        """
        return self._checkup().verify(deep, progress)

    def repair(self, deep: bool = False, progress: Callable[[Progress], None] | None = None) -> Repaired:
        """Mend what ``verify`` finds: what can be made again is; pictures are marked for the next ``index`` to read.

        Raises LibraryBusyError, LibraryError.
        """
        with self.lock():
            return self._checkup().repair(deep, progress)

    def _checkup(self) -> Checkup:
        from mmsearch.library.repair import Checkup

        return Checkup(self.folder, self.store, self.vectors, self.models)

    def backup(
        self,
        file: PathLike,
        *,
        force: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Copy all but the index to one file, while others may search and index.  ``mmsearch.restore`` puts it back.

        An existing file is replaced only with ``force``.  Raises TransferError.

        >>> library.backup("saved.mmsearch")
        >>> mmsearch.restore(Path("saved.mmsearch"), Path("restored"))
        """
        if not self.store.capabilities.backup_file:
            raise TransferError("this library cannot be copied to one file", code="no-backup-file")
        self.store.backup(Path(file), force, progress)

    def export(self, folder: PathLike, *, progress: Callable[[Progress], None] | None = None) -> ExportReport:
        """Write vectors, paths and all that is known of the pictures into a new folder, for any program to read.

        ``manage/exchange.py`` says which files and columns there are.  Raises TransferError, NoModelError.

        >>> library.export("exported").files
        5
        >>> sorted(os.listdir("exported"))
        ['model.json', 'photos.csv', 'photos.parquet', 'regions.npy', 'vectors.npy']
        """
        from mmsearch.manage import export

        return export.export(self.store, self.models.active(), Path(folder), progress)

    def import_from(
        self,
        folder: PathLike,
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
        from mmsearch.manage import import_vectors

        source = import_vectors.look(Path(folder))
        import_vectors.check_model(source, folder, model)
        with self.lock():
            return self._ingest(progress).take(source, model)

    def status(self) -> Status:
        """What the library holds.

        >>> status = library.status()
        >>> status.photos, status.model, status.summary.formats
        (5, 'embedded', {'png': 4, 'jpeg': 1})
        """
        return status(self.folder, self.store, self.vectors, self.models, self.engines)
