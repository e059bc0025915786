"""What can be changed in a library's store, within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from mmsearch.encoders.protocol import RegionCard
from mmsearch.media.subtitles import Cue
from mmsearch.store.types import ExportRow, StoredModel, TagChange
from mmsearch.types import Decoded, Found, Sidecar, Vectors


class ModelWriter(Protocol):
    """Which models there are vectors of."""

    def add_model(self, name: str, fingerprint: str, dim: int, active: bool) -> StoredModel:
        """Make room for a model's vectors; the active one is the model that is searched with."""
        ...

    def activate(self, model: StoredModel) -> None:
        """Search with this model from now on; the vectors of others stay."""
        ...

    def prune(self, keep: StoredModel | None = None) -> int:
        """Drop the models that are not searched with, and their vectors, but ``keep``; returns how many vectors."""
        ...


class FileWriter(Protocol):
    """Where contents lie."""

    def add_root(self, path: str, exclude: Sequence[str] | None = None) -> None:
        """Remember a folder or file that was named, and globs of what is left out of it; None keeps those it has."""
        ...

    def put_sound_words(self, content_hash: bytes, source: str, cues: Iterable[Cue]) -> None:
        """What is said in an audio file, "beside" it or as "speech", in place of what was said there before.

        Its items are made of its words, so they are others afterwards.  Nothing happens where there is no such sound.
        """
        ...

    def place(self, file: Found, content: int) -> None:
        """The file has this content."""
        ...

    def move(self, photo: int, file: Found) -> None:
        """The stored photo is now at another path; what was stored of that path gives way.

        Tags that people gave it stay with what it showed: other files with that content get them, now or once placed.
        """
        ...

    def touch(self, photo: int, file: Found) -> None:
        """The file has a new time, or is back, with the content that is stored."""
        ...

    def fail(self, file: Found, reason: str, retry: bool = False) -> None:
        """The file could not be read: not searched until it changes, or until the next run with ``retry``.

        The content it had stays, so that it is found again without encoding if it comes back.
        """
        ...

    def read_again(self, paths: Iterable[str]) -> None:
        """The next run reads these files, whatever their times."""
        ...

    def miss(self, ids: Iterable[int]) -> None:
        """These files are gone: kept, not searched."""
        ...

    def remove(self, path: str) -> int:
        """Forget a file or everything below a folder; returns how many files were forgotten."""
        ...

    def sweep(self) -> None:
        """Drop contents, with their items and what belongs to these, that no file has any more."""
        ...


class ItemWriter(Protocol):
    """Contents, their items, and what is known of them."""

    def put(
        self,
        content_hash: bytes,
        picture: Decoded,
        vector: Vectors,
        model: StoredModel,
        tokens: bytes | None = None,
        card: RegionCard | None = None,
    ) -> int:
        """Store a content that is one item, and its vector, (dim,); returns the content's id.  What is stored stays.

        But for its metadata: that is renewed when another model encodes the picture, which is what the hash of looks is
        of.  ``tokens`` are packed region tokens of this ``card``; they take the place of what there is.
        """
        ...

    def put_parts(
        self,
        content_hash: bytes,
        picture: Decoded,
        vectors: Vectors,
        model: StoredModel,
        tokens: Sequence[bytes] | None = None,
        card: RegionCard | None = None,
    ) -> int:
        """Store a content with an item for each of ``picture.parts``, and their vectors (n, dim); returns its id.

        What is stored stays, as of ``put``: where another model has items of the content already, the parts must be
        these (``PartRows.parts_of``).  ``tokens`` are packed, one for each part.  Raises ValueError for others.
        """
        ...

    def put_part_text(self, item: int, source: str, text: str) -> None:
        """Store words that belong to a part, in place of those from there; an empty text forgets them.

        ``source`` is where they stand: "inside" its file, or "beside" it.
        """
        ...

    def put_speech(self, content: int, engine: str, words: Mapping[int, str]) -> None:
        """Store what was heard in each item of a film, of the source "speech", and what listened to it."""
        ...

    def put_export_row(
        self, row: ExportRow, vector: Vectors, tokens: bytes | None, card: str | None, model: StoredModel
    ) -> None:
        """Store a file with all that an export says of it; what is stored of its content already stays.

        ``vector`` is (dim,), ``tokens`` are packed region tokens of the card of this fingerprint.
        """
        ...

    def put_metadata(self, content: int, picture: Decoded) -> None:
        """Store what a content that was read again says of itself, and its hash."""
        ...

    def put_regions(
        self, item: int, data: bytes, model: StoredModel, card: RegionCard, vector: Vectors | None = None
    ) -> None:
        """Store the packed region tokens of an item that has a vector of this model, in place of what it has.

        With ``vector`` (dim,), of a model that is not searched with, that is stored where the item has none.  What can
        be found stays the same.
        """
        ...

    def put_caption(self, item: int, reranker: str, text: str, confidence: float) -> None:
        """Store an item's caption in place of what it has; what can be found stays the same."""
        ...

    def put_tags(self, vocabulary: str, found: Mapping[int, Mapping[str, float]]) -> None:
        """Store the tags of items, with their scores, in place of what they have; these may be none.

        ``vocabulary`` is the fingerprint of what they were compared with.  What can be found stays the same.
        """
        ...

    def clear_tags(self, within: Sequence[str] = ()) -> int:
        """Forget what models tagged in or below these paths, everywhere without paths; returns how many items."""
        ...

    def change_own_tags(self, photos: Iterable[int], add: Sequence[str], remove: Sequence[str]) -> TagChange:
        """Give the files with these ids tags that a person chose, and take such from them; ids of none are left out.

        Tags are written as ``language.tag_names.tag_name`` writes them.  One that the library knows in another spelling
        (``tag_names.folded``) keeps that.  What models say stays, and so does what can be found.
        """
        ...

    def put_text(self, item: int, engine: str, text: str) -> None:
        """Store the text inside an item, empty where there is none, in place of what another engine read."""
        ...

    def put_sidecar(self, photo: int, stamp: str, sidecar: Sidecar) -> None:
        """Store what the files beside a photo say, in place of what they said before."""
        ...

    def drop_sidecar(self, photo: int) -> None:
        """Nothing lies beside the photo any more."""
        ...


class StoreWriter(ModelWriter, FileWriter, ItemWriter, Protocol):
    """The changes of one transaction."""
