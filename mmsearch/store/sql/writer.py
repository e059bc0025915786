"""Changes of a library's database: the ``StoreWriter`` of ``store/writing.py``, where each method is described.

What engines do differently is left to the driver: the words, and what mends its database.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, CursorResult, bindparam, or_, select

from mmsearch.encoders.protocol import RegionCard
from mmsearch.media import METADATA_VERSION
from mmsearch.media.dhash import dhash
from mmsearch.media.sound_parts import Told
from mmsearch.media.subtitles import Cue
from mmsearch.store.paths import at_or_below
from mmsearch.store.region_tokens import tokens_of
from mmsearch.store.sql import own_tags, sounds
from mmsearch.store.sql.export_rows import FIRST_ITEM, put
from mmsearch.store.sql.noted import (
    annotation_columns,
    exif_columns,
    film_columns,
    shot_columns,
    sidecar_columns,
)
from mmsearch.store.sql.tables import (
    contents,
    embeddings,
    exclusions,
    items,
    models,
    part_texts,
    photos,
    regions,
    roots,
    sidecars,
    tagged,
    tags,
)
from mmsearch.store.sql.upserts import Upserts
from mmsearch.store.types import CHUNK, TOKENS, BlobKind, ExportRow, StoredModel, TagChange, chunks
from mmsearch.types import Decoded, Found, Sidecar, Vectors

if TYPE_CHECKING:  # a query does without it
    from mmsearch.store.blob_store import BlobTaker

_SAME_CONTENT = select(contents.c.id).where(contents.c.hash == bindparam("hash"))
_SAME_VECTOR = select(embeddings.c.id).where(
    embeddings.c.item_id == bindparam("item"), embeddings.c.model_id == bindparam("model")
)


def _metadata(picture: Decoded) -> dict[str, Any]:
    """What the table of contents says of a picture beside its shape."""
    return {
        **exif_columns(picture.exif),
        **shot_columns(picture.exif),
        "description": picture.description,
        **annotation_columns(picture.annotations),
        "dhash": None if picture.is_sound else picture.dhash or dhash(picture.pixels),
        "metadata_version": METADATA_VERSION,
        "damage": picture.damage,
        **film_columns(picture.film),
    }


def _seen(file: Found) -> dict[str, Any]:
    """What the table of photos says of a file."""
    return {"path": os.fsencode(file.path), "size": file.size, "mtime_ns": file.mtime_ns}


class RowWriter:
    """The changes of one transaction; ``changed`` says whether they touch which pictures can be found.

    What full-text search knows of the photos is written anew at the end, once each.
    """

    def __init__(self, connection: Connection, upserts: Upserts, blobs: BlobTaker) -> None:
        self._connection, self._upserts, self._blobs = connection, upserts, blobs
        self.changed = False
        self.noted = False  # whether they touch metadata, or what files beside photos say
        self._named: list[bytes] = []  # paths of photos whose words may have changed
        self._moved: set[int] = set()  # ids of such photos
        self._described: set[int] = set()  # ids of contents about which something new is known
        self._described_items: set[int] = set()  # ids of such items
        self._touched: set[int] = set()  # ids of photos that are there, and whose words are as they were
        self._tags_wait: bool | None = None  # for files that are placed; None until that was looked for

    def add_model(self, name: str, fingerprint: str, dim: int, active: bool) -> StoredModel:
        values = {"name": name, "fingerprint": fingerprint, "dim": dim, "active": active}
        self._connection.execute(self._upserts.add[models], values)
        same = select(models.c.id).where(models.c.fingerprint == fingerprint)
        return StoredModel(self._connection.execute(same).scalar_one(), name, fingerprint, dim)

    def activate(self, model: StoredModel) -> None:
        self._connection.execute(models.update().values(active=models.c.id == model.id))
        self.changed = True

    def prune(self, keep: StoredModel | None = None) -> int:
        others = select(models.c.id).where(models.c.active.is_(False), models.c.id != (keep.id if keep else -1))
        gone: int = self._connection.execute(embeddings.delete().where(embeddings.c.model_id.in_(others))).rowcount
        self._connection.execute(models.delete().where(models.c.id.in_(others)))
        return gone

    def add_root(self, path: str, exclude: Sequence[str] | None = None) -> None:
        name = os.fsencode(path)
        self._connection.execute(self._upserts.add[roots], {"path": name})
        if exclude is None:
            return
        root = self._connection.execute(select(roots.c.id).where(roots.c.path == name)).scalar_one()
        self._connection.execute(exclusions.delete().where(exclusions.c.root_id == root))
        for position, glob in enumerate(exclude):
            values = {"root_id": root, "position": position, "glob": os.fsencode(glob)}
            self._connection.execute(self._upserts.exclusion, values)

    def put(
        self,
        content_hash: bytes,
        picture: Decoded,
        vector: Vectors,
        model: StoredModel,
        tokens: bytes | None = None,
        card: RegionCard | None = None,
    ) -> int:
        content = self._put_content(content_hash, picture)
        self._connection.execute(self._upserts.add[items], {"content_id": content, "part": 0})
        item: int = self._connection.execute(FIRST_ITEM, {"content": content}).scalar_one()
        self._put_vector(item, vector, model, tokens, card)
        return content

    def put_parts(
        self,
        content_hash: bytes,
        picture: Decoded,
        vectors: Vectors,
        model: StoredModel,
        tokens: Sequence[bytes] | None = None,
        card: RegionCard | None = None,
    ) -> int:
        content = self._put_content(content_hash, picture)
        rows = [
            {"content_id": content, "part": part, "start_ms": one.start_ms, "end_ms": one.end_ms, "at_ms": one.at_ms}
            for part, one in enumerate(picture.parts)
        ]
        self._connection.execute(self._upserts.part, rows)
        of_content = select(items.c.id).where(items.c.content_id == content).order_by(items.c.part)
        numbers = list(self._connection.execute(of_content).scalars())
        if len(numbers) != len(picture.parts) or len(vectors) != len(numbers):
            raise ValueError(f"{len(numbers)} items, {len(picture.parts)} parts and {len(vectors)} vectors")
        for position, (item, part) in enumerate(zip(numbers, picture.parts, strict=True)):
            self._put_vector(item, vectors[position], model, None if tokens is None else tokens[position], card)
            if part.text:
                self.put_part_text(item, "inside", part.text)
        return content

    def _put_content(self, content_hash: bytes, picture: Decoded) -> int:
        """Store what is known of a content; its id."""
        shape = {"width": picture.width, "height": picture.height, "format": picture.format}
        self._connection.execute(self._upserts.content, {"hash": content_hash, **shape, **_metadata(picture)})
        content: int = self._connection.execute(_SAME_CONTENT, {"hash": content_hash}).scalar_one()
        self._described.add(content)
        self.noted = True
        return content

    def _put_vector(
        self, item: int, vector: Vectors, model: StoredModel, tokens: bytes | None, card: RegionCard | None
    ) -> None:
        """Store the vector of an item that has none of this model, and its region tokens."""
        blob = vector.astype("<f2").tobytes()
        row = {"item_id": item, "model_id": model.id, "vector": blob}
        added = self._connection.execute(self._upserts.add[embeddings], row)
        if tokens is not None and card is not None:
            self._blobs.put(tokens_of(model, card), {self._added(added, item, model): tokens})

    def _added(self, added: CursorResult[Any], item: int, model: StoredModel) -> int:
        """The id of the vector of an item that was just added, or was there."""
        return self._vector(item, model)

    def put_part_text(self, item: int, source: str, text: str) -> None:
        if text:
            self._connection.execute(self._upserts.part_text, {"item_id": item, "source": source, "text": text})
        else:
            same = (part_texts.c.item_id == item) & (part_texts.c.source == source)
            self._connection.execute(part_texts.delete().where(same))
        self._described_items.add(item)

    def put_sound_words(self, content_hash: bytes, source: str, cues: Iterable[Cue]) -> None:
        told = [Told(*cue[:2], source, cue.text) for cue in cues]
        content = sounds.put_words(self._connection, self._upserts, content_hash, source, told)
        if content is not None:
            self._described.add(content)
            self.changed = self.noted = True  # its items have other ids

    def put_speech(self, content: int, engine: str, words: Mapping[int, str]) -> None:
        for item, text in words.items():
            self.put_part_text(item, "speech", text)
        self._connection.execute(self._upserts.speech, {"content_id": content, "engine": engine})

    def put_export_row(
        self, row: ExportRow, vector: Vectors, tokens: bytes | None, card: str | None, model: StoredModel
    ) -> None:
        blob = b"" if row.is_sound else vector.astype("<f2").tobytes()
        content, item = put(self._connection, self._upserts, row, blob, model.id)
        if tokens is not None and card is not None and self._lacks_tokens(item, model):
            self._blobs.put(BlobKind(TOKENS, model.fingerprint, card), {self._vector(item, model): tokens})
        self._described.add(content)
        self.place(row.file, content)
        if row.sidecar_stamp is None and not row.own_tags:
            return
        same = select(photos.c.id).where(photos.c.path == os.fsencode(row.file.path))
        photo = self._connection.execute(same).scalar_one()
        own_tags.put(self._connection, photo, row.own_tags)
        if row.sidecar_stamp is not None:
            self.put_sidecar(photo, row.sidecar_stamp, row.sidecar or Sidecar())

    def put_metadata(self, content: int, picture: Decoded) -> None:
        self._connection.execute(contents.update().where(contents.c.id == content).values(**_metadata(picture)))
        self._described.add(content)
        self.noted = True

    def put_regions(
        self, item: int, data: bytes, model: StoredModel, card: RegionCard, vector: Vectors | None = None
    ) -> None:
        if vector is not None:
            row = {"item_id": item, "model_id": model.id, "vector": vector.astype("<f2").tobytes()}
            self._connection.execute(self._upserts.add[embeddings], row)
        self._blobs.put(tokens_of(model, card), {self._vector(item, model): data})

    def _lacks_tokens(self, item: int, model: StoredModel) -> bool:
        there = select(regions.c.item_id).where(regions.c.item_id == item, regions.c.model_id == model.id)
        return self._connection.execute(there).first() is None

    def _vector(self, item: int, model: StoredModel) -> int:
        """The id of the vector of an item."""
        number: int = self._connection.execute(_SAME_VECTOR, {"item": item, "model": model.id}).scalar_one()
        return number

    def put_caption(self, item: int, reranker: str, text: str, confidence: float) -> None:
        values = {"item_id": item, "reranker": reranker, "text": text, "confidence": confidence}
        self._connection.execute(self._upserts.caption, values)
        self._described_items.add(item)

    def put_tags(self, vocabulary: str, found: Mapping[int, Mapping[str, float]]) -> None:
        if not found:
            return
        self._forget_tags(found)
        rows = [
            {"item_id": item, "tag": tag, "vocabulary": vocabulary, "score": score}
            for item, scores in found.items()
            for tag, score in scores.items()
        ]
        if rows:
            self._connection.execute(tags.insert(), rows)
        self._connection.execute(tagged.insert(), [{"item_id": item, "vocabulary": vocabulary} for item in found])

    def clear_tags(self, within: Sequence[str] = ()) -> int:
        query = select(tagged.c.item_id)
        if within:
            inside = select(items.c.id).join(photos, photos.c.content_id == items.c.content_id)
            inside = inside.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
            query = query.where(tagged.c.item_id.in_(inside))
        ids = list(self._connection.execute(query).scalars())
        self._forget_tags(ids)
        return len(ids)

    def _forget_tags(self, ids: Iterable[int]) -> None:
        self._described_items.update(ids)
        for chunk in chunks(list(ids)):
            self._connection.execute(tags.delete().where(tags.c.item_id.in_(chunk)))
            self._connection.execute(tagged.delete().where(tagged.c.item_id.in_(chunk)))

    def change_own_tags(self, photos: Iterable[int], add: Sequence[str], remove: Sequence[str]) -> TagChange:
        change, touched = own_tags.change(self._connection, photos, add, remove)
        self._moved |= touched
        return change

    def put_text(self, item: int, engine: str, text: str) -> None:
        self._connection.execute(self._upserts.text, {"item_id": item, "engine": engine, "text": text})
        self._described_items.add(item)

    def put_sidecar(self, photo: int, stamp: str, sidecar: Sidecar) -> None:
        self._connection.execute(self._upserts.sidecar, {"photo_id": photo, "stamp": stamp, **sidecar_columns(sidecar)})
        self._moved.add(photo)
        self.noted = True

    def drop_sidecar(self, photo: int) -> None:
        self._connection.execute(sidecars.delete().where(sidecars.c.photo_id == photo))
        self._moved.add(photo)
        self.noted = True

    def place(self, file: Found, content: int) -> None:
        self._connection.execute(
            self._upserts.placed, {**_seen(file), "state": "ok", "reason": None, "content_id": content}
        )
        if self._tags_wait is None:
            self._tags_wait = own_tags.any_waiting(self._connection)
        if self._tags_wait:
            own_tags.arrive(self._connection, os.fsencode(file.path))
        self._named.append(os.fsencode(file.path))
        self.changed = True

    def move(self, photo: int, file: Found) -> None:
        path = os.fsencode(file.path)
        self._moved |= own_tags.give_way(self._connection, path, photo)
        self._tags_wait = None
        given_way = photos.delete().where(photos.c.path == path, photos.c.id != photo)
        self.changed = self._connection.execute(given_way).rowcount > 0 or self.changed
        self._update_found(photo, file, path=path)
        self._moved.add(photo)

    def touch(self, photo: int, file: Found) -> None:
        self._update_found(photo, file)
        self._touched.add(photo)

    def fail(self, file: Found, reason: str, retry: bool = False) -> None:
        seen = Found(file.path, file.size, -1) if retry else file
        self._connection.execute(self._upserts.failed, {**_seen(seen), "state": "failed", "reason": reason})
        self.changed = True

    def read_again(self, paths: Iterable[str]) -> None:
        for chunk in chunks([os.fsencode(path) for path in paths]):
            self._connection.execute(photos.update().where(photos.c.path.in_(chunk)).values(mtime_ns=-1))

    def miss(self, ids: Iterable[int]) -> None:
        for chunk in chunks(list(ids)):
            self._connection.execute(photos.update().where(photos.c.id.in_(chunk)).values(state="missing"))
            self.changed = True

    def remove(self, path: str) -> int:
        removed: int = self._connection.execute(photos.delete().where(at_or_below(photos.c.path, path))).rowcount
        self._connection.execute(roots.delete().where(at_or_below(roots.c.path, path)))
        self.changed = self.changed or removed > 0
        return removed

    def sweep(self) -> None:
        held = select(photos.c.content_id).where(photos.c.content_id.is_not(None))
        self._connection.execute(contents.delete().where(contents.c.id.not_in(held)))

    def write_words(self) -> None:
        """Bring full-text search up to date with what was changed so far."""
        for start in range(0, len(self._named), CHUNK):
            chosen = select(photos.c.id).where(photos.c.path.in_(self._named[start : start + CHUNK]))
            self._moved.update(self._connection.execute(chosen).scalars())
        found = self._moved | self._touched
        if found or self._described or self._described_items:
            changed = sounds.settle(self._connection, found, self._described, self._described_items)
            self._moved |= changed
            self.changed = self.changed or bool(changed)
        if self._moved or self._described or self._described_items:
            self._rebuild_words(self._moved, self._described, self._described_items)

    def _rebuild_words(self, photos: set[int], contents: set[int], items: set[int]) -> None:
        """Write anew what full-text search knows of these photos, and of all that have these contents or items."""
        raise NotImplementedError

    def _update_found(self, photo: int, file: Found, **values: Any) -> None:
        one = photos.c.id == photo
        back = self._connection.execute(select(photos.c.state).where(one)).scalar_one() != "ok"
        values |= {"size": file.size, "mtime_ns": file.mtime_ns, "state": "ok", "reason": None}
        self._connection.execute(photos.update().where(one).values(**values))
        self.changed = self.changed or back
