"""How a library is opened: the one place where its parts are put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch import config
from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import LibraryError, NoModelError
from mmsearch.library.checked import checked
from mmsearch.library.library import Library
from mmsearch.library.library_file import located
from mmsearch.library.live_index import LiveIndex
from mmsearch.library.models import Models
from mmsearch.store.breaker import Engines
from mmsearch.store.open import INDEX, check_new, has_store, open_address, open_store
from mmsearch.types import PathLike

if TYPE_CHECKING:  # a query does without it
    from mmsearch.store.protocol import Store, VectorSearch


@checked
def open_library(
    folder: PathLike | None = None,
    *,
    model: str | None = None,
    device: str | None = None,
    settings: config.Settings | None = None,
    encoder: Encoder | None = None,
    quick: bool = False,
    create: bool = True,
) -> Library:
    """Open the library in ``folder``, made if absent; without one, the user's own library.

    In place of a folder it may be the address of a database of PostgreSQL: ``postgresql://user@host/database``, or a
    file whose name ends in ``.toml``, which names the parts of the library (``mmsearch/library/library_file.py``).

    ``model`` (of a library that is new) and ``device`` take the place of the settings'; ``encoder`` that of the model:
    the way for a model of one's own.  ``quick`` is for a program that asks a question or two and ends: models are
    loaded in a third of the time, and are loaded again where more is asked.  Without ``create`` a library that is not
    there is a NoModelError, and nothing is made.  Raises ArgumentError, LibraryError, NewerLibraryError, ConfigError.

    >>> with mmsearch.open_library("photos.mmsearch", model="embedded") as library:
    ...     print(library.index("photos").added, "added")
    5 added
    """
    settings = config.load() if settings is None else settings
    if model is not None:
        settings = replace(settings, model=model)
    if device is not None:
        settings = replace(settings, device=device)
    place, settings = located(folder, settings)
    if config.is_address(place):
        milvus = (settings.vectors, settings.vectors_token) if config.is_milvus(settings.vectors) else None
        blobs = config.blob_place(settings.blobs)
        store = open_address(place, settings.cache, settings.postgres_pool, create, milvus, blobs)
    else:
        store = _in_folder(Path(place), create)
    models = Models(store, store.folder, settings, encoder, quick)
    searches_itself = not store.capabilities.vector_search or settings.vectors == "memory"
    engines = Engines({part: name for part, name in store.engines.items() if part != "vectors" or not searches_itself})
    vectors: VectorSearch
    if not searches_itself:
        from mmsearch.library.collection_search import CollectionSearch

        vectors = CollectionSearch(store, store.collection, models, settings.recall, engines.vectors)
    else:
        vectors = LiveIndex(store, store.folder / INDEX, models, settings.recall, settings.device)
    return Library(store, vectors, models, store.lock, settings, engines)


def _in_folder(path: Path, create: bool) -> Store:
    if not create and not has_store(path):
        raise NoModelError(f"there is no library in {path} yet")
    check_new(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LibraryError(
            f"the library folder {path} cannot be made: {error.strerror}", code="library-not-made"
        ) from error
    return open_store(path)
