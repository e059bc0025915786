"""What a library knows of its files, without a search."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsearch.library.checked import checked_methods
from mmsearch.store.paths import spellings
from mmsearch.types import PathLike, Photo

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

AT_ONCE = 1000  # pictures whose files are read at once


@checked_methods
class Browsing:
    """The part of ``Library`` that looks things up and searches nothing."""

    store: Store

    def get(self, path: PathLike) -> Photo | None:
        """All that is known of a file that can be found; None for one that is unknown, gone or could not be read.

        >>> library.get("photos/cat.png").width
        451
        """
        model = self.store.model()
        if model is None:
            return None
        for way in spellings(path):
            vector = self.store.vector_of(way, model)
            files = [] if vector is None else self.store.photos([vector]).get(vector, [])
            found = next((photo for photo in files if photo.path == way), None)
            if found is not None:
                return found
        return None

    def photo(self, id: int) -> Photo | None:
        """The same by its ``Photo.id``, which stays when the file is moved.

        >>> library.photo(library.get("photos/cat.png").id) == library.get("photos/cat.png")
        True
        """
        return self.store.photos_by_id([id]).get(id)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and self.get(path) is not None

    def __iter__(self) -> Iterator[Photo]:
        """Every file that can be found, read a thousand at a time; in the order in which pictures became known.

        Those that come meanwhile are left out.
        """
        model = self.store.model()
        ids = [] if model is None else self.store.searchable(model).tolist()
        for start in range(0, len(ids), AT_ONCE):
            found = self.store.photos(ids[start : start + AT_ONCE])
            for number in ids[start : start + AT_ONCE]:
                yield from found.get(number, ())
