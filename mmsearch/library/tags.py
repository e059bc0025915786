"""Tags of a library's photos: those that a model gives, and those that people give."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from mmsearch.errors import ArgumentError, SourceError
from mmsearch.language.tag_names import folded, tag_name
from mmsearch.library.arguments import known
from mmsearch.library.browsing import AT_ONCE
from mmsearch.library.checked import checked_methods
from mmsearch.types import Hit, PathLike, Paths, Photo

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.ingest.enrich.tags import TagReport
    from mmsearch.language.vocabulary import Vocabulary
    from mmsearch.library.models import Models
    from mmsearch.store.protocol import Lock, Store
    from mmsearch.store.types import StoredModel, TagChange
    from mmsearch.types import Progress

# What photos are named by: as a search found them, by their ids, or by where they are, all below a folder.
OnePhoto: TypeAlias = "Hit | Photo | int | PathLike"


@checked_methods
class Tagging:
    """The part of a ``Library`` that tags."""

    store: Store
    models: Models
    lock: Lock
    settings: Settings

    def tag(
        self,
        paths: Paths = (),
        *,
        vocabulary: PathLike | Vocabulary | None = None,
        threshold: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> TagReport:
        """Give pictures the words of a vocabulary that fit them: all pictures, or those in or below ``paths``.

        ``vocabulary`` is a file (see ``language/vocabulary.py``) in place of the one that ships.  A picture has tags of
        one vocabulary: those of another one, or of another ``threshold`` in (0, 1], are replaced; those of people stay.
        Stored vectors are judged, no picture is opened.  Those that were compared with this vocabulary before are left
        alone; Ctrl-C keeps what is stored by then.  Raises VocabularyError, SourceError, NoModelError, ModelError,
        LibraryBusyError, LibraryError.

        >>> library.tag().tagged
        5
        >>> "motorcycle" in library.tags(within="photos/trips")
        True
        """
        from mmsearch.library.tagging import chosen, tag

        words = chosen(vocabulary)
        stored = self.models.active()
        spelled = known(self.store, stored, paths)
        with self.lock():
            return tag(self.store, self.models, stored, spelled, words, threshold, self.settings.cache, progress)

    def tag_photos(
        self,
        photos: OnePhoto | Iterable[OnePhoto],
        *,
        add: str | Sequence[str] = (),
        remove: str | Sequence[str] = (),
    ) -> TagChange:
        """Give photos tags of your own, and take such from them; nothing is written into or beside files.

        ``photos`` are hits, photos, ids, paths, or a list of these; of a folder all photos below it are meant.  Tags
        are of a file: it keeps them when it is moved or edited, and a copy has its own.  They are found as those of a
        model are, which stay (``photo.own_tags`` are those of people).  Capitals do not count: a tag is spelled as it
        was written first.  Raises TagError, ArgumentError, SourceError for photos that are not there, NoModelError,
        LibraryBusyError, LibraryError.

        >>> library.tag_photos("photos/trips", add=["holiday", "Kawasaki"], remove="work")
        TagChange(photos=2, changed=2, added=4, removed=0)
        >>> library.tag_photos(library.search("tag:kawasaki type:jpeg"), remove="kawasaki").removed
        1
        >>> library.get("photos/trips/motorcycle.png").own_tags
        ('holiday', 'Kawasaki')
        """
        wanted, unwanted = checked_tags(add, remove)
        ids = self._ids_of(photos)
        with self.lock(), self.store.writing() as writer:
            return writer.change_own_tags(ids, wanted, unwanted)

    def _ids_of(self, photos: OnePhoto | Iterable[OnePhoto]) -> list[int]:
        """The ids of photos that are there.  Raises SourceError where one is not."""
        stored = self.models.active()
        ids: dict[int, None] = {}
        asked: dict[int, None] = {}
        for one in [photos] if isinstance(photos, (Hit, Photo, int, str, os.PathLike)) else photos:
            photo = one.photo if isinstance(one, Hit) else one
            if isinstance(photo, Photo):
                photo = photo.id or photo.path  # one of no library has no id
            if isinstance(photo, (str, os.PathLike)):
                ids |= dict.fromkeys(_below(self.store, stored, photo))
            else:
                asked[int(photo)] = None
        there = self.store.photos_by_id(list(asked), stored) if asked else {}
        gone = [number for number in asked if number not in there]
        if gone:
            more = f", nor {len(gone) - 1:,} others of these" if gone[1:] else ""
            raise SourceError(f"no photo has the id {gone[0]} (any more){more}", code="unknown-photo", ids=gone[:100])
        return list(ids | asked)

    def tags(self, within: Paths = ()) -> dict[str, int]:
        """How many files have each tag, the most frequent first; ``within`` keeps those in or below these paths.

        Tags of people and of models count alike.  Raises SourceError where no picture is, NoModelError.
        """
        return self.store.tag_counts(known(self.store, self.models.active(), within))

    def clear_tags(self, within: Paths = ()) -> int:
        """Forget what models tagged, of all pictures or of those in or below these paths; returns of how many.

        Tags of people stay.  Copies of one picture count once, and lose their tags together.  Raises SourceError where
        no picture is, NoModelError, LibraryBusyError, LibraryError.
        """
        spelled = known(self.store, self.models.active(), within)
        with self.lock(), self.store.writing() as writer:
            return writer.clear_tags(spelled)


def checked_tags(add: str | Sequence[str], remove: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """Tags to give and tags to take as they are stored.  Raises TagError, and ArgumentError where that is nothing."""
    wanted, unwanted = _names(add), _names(remove)
    if not wanted and not unwanted:
        raise ArgumentError("add", "nothing", "at least one tag, or remove")
    both = sorted(wanted.keys() & unwanted.keys())
    if both:
        raise ArgumentError("remove", repr(unwanted[both[0]]), "another tag than those of add")
    return list(wanted.values()), list(unwanted.values())


def _names(given: str | Sequence[str]) -> dict[str, str]:
    """Tags as they are stored, by what their spellings have in common.  Raises TagError."""
    found: dict[str, str] = {}
    for text in [given] if isinstance(given, str) else given:
        name = tag_name(text)
        found.setdefault(folded(name), name)
    return found


def _below(store: Store, model: StoredModel, path: PathLike) -> list[int]:
    """The ids of the files at or below a path.  Raises SourceError where there is none."""
    ways = known(store, model, path)
    vectors = store.searchable(model, ways).tolist()
    ids: list[int] = []
    for start in range(0, len(vectors), AT_ONCE):
        found = store.photos(vectors[start : start + AT_ONCE], ways)
        ids += [photo.id for own in found.values() for photo in own]
    return ids
