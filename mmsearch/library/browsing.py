"""What a library knows of its files: each of them, small pictures of them, and what they are counted by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mmsearch.errors import ImageError
from mmsearch.library.checked import checked_methods
from mmsearch.query.model import Query
from mmsearch.store.open import THUMBNAILS
from mmsearch.store.paths import spellings
from mmsearch.types import PathLike, Paths, Photo, path_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from mmsearch.config import Settings
    from mmsearch.library.arguments import Asked
    from mmsearch.library.facets import Facets
    from mmsearch.library.imagining import Rough
    from mmsearch.library.models import Models
    from mmsearch.library.results import Items
    from mmsearch.manage.map.clusters import Method
    from mmsearch.manage.map.make import MapReport
    from mmsearch.media.part_picture import Place
    from mmsearch.media.thumbnail_cache import Thumbnail, ThumbnailCache
    from mmsearch.query.model import Condition
    from mmsearch.store.kept_map import KeptMap
    from mmsearch.store.protocol import Store
    from mmsearch.store.types import Overview, StoredModel
    from mmsearch.types import Progress, SearchResult

AT_ONCE = 1000  # pictures whose files are read at once


@checked_methods
class Browsing:
    """The part of a ``Library`` that looks at what is stored."""

    store: Store
    settings: Settings

    if TYPE_CHECKING:  # a library's own
        models: Models

        def search(
            self, query: Query, k: int, *, rerank: bool, within: Paths, min_relevance: float | None
        ) -> SearchResult: ...

    def get(self, path: PathLike) -> Photo | None:
        """All that is known of a file that can be found; None for one that is unknown, gone or could not be read.

        >>> library.get("photos/cat.png").width
        451
        """
        return photo_at(self.store, path)

    def photo(self, id: int) -> Photo | None:
        """The file with this id (``Photo.id``); None for one that is unknown, gone or could not be read.

        >>> library.photo(library.get("photos/cat.png").id).width
        451
        """
        model = self.store.model()
        return None if model is None else self.store.photos_by_id([id], model).get(id)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and self.get(path) is not None

    def __iter__(self) -> Iterator[Photo]:
        """Every file that can be found, read a thousand at a time; in the order in which pictures became known."""
        return photos(self.store)

    def place(self, photo: Photo, part: int | None = None, at_ms: int | None = None) -> Place | None:
        """Which frame of a film, or page of a document, a part (``Moment.part``) or a time in milliseconds names.

        None for a photo, and without both.  Raises ArgumentError where the file has no such part or time.
        """
        from mmsearch.library.looking import place

        return place(self.store, photo, part, at_ms)

    def items(self, where: str | Sequence[Condition] = (), *, within: Paths = ()) -> Items:
        """The photos that meet conditions, all without: read in blocks when they are asked for, or made a table.

        ``where`` is conditions in the query language ("date:2024 type:jpeg") or as values; ``within`` keeps those in or
        below these paths.  Raises QueryError, ArgumentError.

        >>> photos = library.items("type:png width:>500")
        >>> len(photos), [os.path.basename(photo.path) for photo in photos]
        (3, ['cameraman.png', 'grass.png', 'motorcycle.png'])
        >>> photos.to_arrow().column("format").to_pylist()
        ['png', 'png', 'png']
        """
        from mmsearch.library.arguments import parsed
        from mmsearch.library.results import Items

        wanted = parsed(Query(order="date"), where)
        self.store.capabilities.check(wanted)
        ways = [way for folder in path_list(within) for way in spellings(folder)]
        return Items(self.store, self.store.model(), ways, wanted.conditions, self.settings.max_megapixels)

    def thumbnail(
        self, photo: Photo, side: int = 320, *, part: int | None = None, at_ms: int | None = None
    ) -> Thumbnail:
        """A small upright WebP of a photo, its longer side at most ``side`` pixels: 160, 320, 640 or 1280.

        Of a film or document it shows what ``place`` says of ``part`` and ``at_ms``, else what shows it best.

        It is made once and kept in the library's folder, up to ``settings.thumbnails`` megabytes of all, and in its
        object store, if it has one: then other machines need not open the file.  Where the
        file has changed since it was indexed it shows what is there now; where it is gone, what was kept of it, or else
        a rough picture (``rough``), drawn from stored region tokens of the embedded model.
        Raises ImageError where there is no picture to be had.
        """
        shown = self.place(photo, part, at_ms)
        try:
            return self._thumbnails.get(photo, self.store.content_hash(photo.id), side, shown)
        except ImageError as error:
            drawn = self._rough.picture(photo, side, part or 0) if error.code == "file-gone" else None
            if drawn is None:
                raise
        from mmsearch.media.thumbnail_cache import encoded

        return encoded(drawn, rough=True)

    def rough_picture(self, photo: Photo, side: int = 320, part: int = 0) -> Image | None:
        """What stored region tokens tell of a photo that cannot be opened, in its shape; it says "rough" in it.

        Of a film or a document it is of one ``part`` (``Moment.part``).  None where no region tokens of the embedded
        model are stored.
        """
        return self._rough.picture(photo, side, part)

    @cached_property
    def _rough(self) -> Rough:
        from mmsearch.library.imagining import Rough

        return Rough(self.store, self.models)

    @cached_property
    def _thumbnails(self) -> ThumbnailCache:
        from mmsearch.media.thumbnail_cache import ThumbnailCache

        own = self.settings
        shared = self.store.thumbnails if own.thumbnails else None
        return ThumbnailCache(self.store.folder / THUMBNAILS, own.thumbnails * 2**20, own.max_megapixels, shared)

    def facets(
        self,
        query: Asked | Sequence[Asked] | Query = "",
        *,
        where: str | Sequence[Condition] = (),
        within: Paths = (),
        min_relevance: float | None = None,
        most: int = 50,
    ) -> Facets:
        """What the photos are that a query finds, or all of them: years, cameras, folders, tags, types, people, towns.

        Each value has the number of its photos and the condition that leaves these, as text of the query language.
        Conditions alone choose exactly.  Of a query with words or examples the best 2,000 hits are counted that are
        relevant enough (``min_relevance`` as of ``search``), by the first stage alone; ``complete`` says whether these
        are all.  Of each facet the ``most`` frequent values are given.  Raises as ``search``.

        >>> [(value.value, value.count, value.query) for value in library.facets(where="width:>500")["type"].values]
        [('png', 3, 'type:png'), ('jpeg', 1, 'type:jpeg')]
        """
        from mmsearch.library.facets import Chosen, facets

        chosen = Chosen.by(self.store, self.search, query, where, within, min_relevance)
        return facets(self.store, chosen, most)

    def overview(
        self,
        query: Asked | Sequence[Asked] | Query = "",
        *,
        where: str | Sequence[Condition] = (),
        within: Paths = (),
        min_relevance: float | None = None,
    ) -> Overview:
        """Ids, times and places of the photos that ``facets`` counts.  Raises as ``search``.

        >>> overview = library.overview("type:jpeg")
        >>> overview.ids.tolist() == [library.get("photos/trips/rocket.jpg").id], overview.places.tolist()
        (True, [[nan, nan]])
        """
        from mmsearch.library.facets import Chosen

        chosen = Chosen.by(self.store, self.search, query, where, within, min_relevance)
        return self.store.overview(chosen.model, chosen.within, chosen.conditions, chosen.photos)

    def map(
        self,
        file: PathLike | None = None,
        *,
        fresh: bool = False,
        clusters: Method | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> MapReport:
        """Lay all pictures out on a plane, those that are alike together, in clusters that ``cluster:`` asks for.

        The map is kept with the library and carried on: photos stay where they are, new ones are placed by the nearest.
        ``fresh`` makes it anew, and so does another way to find ``clusters``: "kmeans", or "hdbscan", which needs
        ``mmsearch[map]``; None takes that of the last map.  With ``file`` it is written there too, as an HTML file that
        needs nothing else.  Raises MapError, NoModelError, ModelError, LibraryError, SourceError.

        >>> report = library.map()
        Traceback (most recent call last):
        ...
        mmsearch.errors.MapError: a map needs at least 10 different pictures, the library has 5; index more of them
        """
        from mmsearch.library.mapping import make

        return make(self.store, self.models, self.settings, file, fresh, clusters, progress)

    def last_map(self) -> KeptMap | None:
        """The last map: where each picture lies, and the clusters.  None where none was made with the present model.

        >>> library.last_map() is None
        True
        """
        from mmsearch.manage.map.make import last_map

        model = self.store.model()
        return None if model is None else last_map(self.store, model)


def photo_at(store: Store, path: PathLike) -> Photo | None:
    """The file at a path, however the store writes it; None where none can be found there."""
    model = store.model()
    if model is None:
        return None
    for way in spellings(path):
        vector = store.vector_of(way, model)
        files = [] if vector is None else store.photos([vector]).get(vector, [])
        found = next((photo for photo in files if photo.path == way), None)
        if found is not None:
            return found
    return None


def photos(store: Store) -> Iterator[Photo]:
    """All files that can be found, by the ids of their vectors; those that come meanwhile are left out."""
    model = store.model()
    for _, files in pictures(store, model) if model is not None else ():
        yield from files


def pictures(store: Store, model: StoredModel) -> Iterator[tuple[int, Sequence[Photo]]]:
    """The id of each vector of a model that can be found, ascending, and the files that show its picture."""
    ids = store.searchable(model).tolist()
    for start in range(0, len(ids), AT_ONCE):
        found = store.photos(ids[start : start + AT_ONCE])
        for number in ids[start : start + AT_ONCE]:
            yield number, found.get(number, ())
