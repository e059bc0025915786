"""All that is known of the files that can be found: read in blocks for an export, and stored as an import brings it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, func, select

from mmsearch.store.sql.dialect import can_be_found, json_list, json_object, json_pairs
from mmsearch.store.sql.noted import (
    SHOT,
    annotation_columns,
    annotations_of,
    film_columns,
    film_of,
    sidecar_of,
)
from mmsearch.store.sql.tables import (
    captions,
    contents,
    embeddings,
    items,
    ocr,
    own_tags,
    part_texts,
    photos,
    regions,
    sidecars,
    tagged,
    tags,
)
from mmsearch.store.sql.upserts import Upserts
from mmsearch.store.types import TOKENS, BlobKind, Block, ExportRow, StoredModel
from mmsearch.types import Annotations, Found

if TYPE_CHECKING:
    from mmsearch.store.blob_store import BlobStore

BLOCK = 500  # vectors read together


class ExportRows:
    """Of one model, at one moment: the transaction of ``connection``."""

    def __init__(self, connection: Connection, model: StoredModel, blobs: BlobStore) -> None:
        """``blobs`` reads in this transaction."""
        self._connection, self._model, self._blobs = connection, model.id, blobs
        there = (
            select(photos.c.id)
            .join(items, items.c.content_id == photos.c.content_id)
            .where(items.c.id == embeddings.c.item_id, can_be_found())
        )
        self._found = (embeddings.c.model_id == model.id) & there.exists()
        of_model = regions.c.model_id == model.id
        most = (
            select(regions.c.fingerprint)
            .where(of_model)
            .group_by(regions.c.fingerprint)
            .order_by(func.count().desc())
            .limit(1)
        )
        self.region_card: str | None = connection.execute(most).scalar_one_or_none()  # fingerprint, of most of them
        self._kind = None if self.region_card is None else BlobKind(TOKENS, model.fingerprint, self.region_card)
        one = select(embeddings.c.id).join(
            regions, (regions.c.item_id == embeddings.c.item_id) & (regions.c.model_id == embeddings.c.model_id)
        )
        one = one.where(of_model, regions.c.fingerprint == self.region_card).limit(1)
        self.region_bytes = max(map(len, self._tokens(list(connection.execute(one).scalars())).values()), default=0)

    def _tokens(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The region tokens of most that these vectors have."""
        return {} if self._kind is None or not ids else self._blobs.get(self._kind, ids)

    def vectors(self) -> int:
        """How many vectors a file has."""
        return int(self._connection.execute(select(func.count(embeddings.c.id)).where(self._found)).scalar_one())

    def blocks(self) -> Iterator[Block]:
        """All of them, in the order of the ids of the vectors; copies, which share one, in the order of their paths."""
        query = select(embeddings.c.id, embeddings.c.vector).where(self._found)
        query = query.order_by(embeddings.c.id).limit(BLOCK)
        last = -1
        while rows := self._connection.execute(query.where(embeddings.c.id > last)).all():
            first, last = rows[0][0], rows[-1][0]
            positions = {number: position for position, (number, *_) in enumerate(rows)}
            read = self._tokens(list(positions))
            tokens = {number: one for number, one in read.items() if len(one) == self.region_bytes}
            yield Block(
                [row[1] for row in rows],
                [tokens.get(row[0]) for row in rows],
                list(self._files(first, last, positions)),
                tuple(positions),
            )

    def _files(self, first: int, last: int, positions: dict[int, int]) -> Iterator[tuple[int, ExportRow]]:
        words = select(json_object(part_texts.c.source, part_texts.c.text))
        other = items.alias()
        count = select(func.count()).where(other.c.content_id == items.c.content_id)
        by_model = select(json_pairs(tags.c.tag, tags.c.score))
        by_people = select(json_list(own_tags.c.tag))
        query = (
            select(
                embeddings.c.id.label("vector"),
                photos.c.path,
                photos.c.size,
                photos.c.mtime_ns,
                contents,
                *(column.label(f"sidecar_{column.name}") for column in sidecars.c),
                captions.c.text.label("caption"),
                captions.c.reranker,
                captions.c.confidence,
                ocr.c.text.label("read"),
                ocr.c.engine,
                tagged.c.vocabulary,
                items.c.part,
                items.c.start_ms,
                items.c.end_ms,
                items.c.at_ms,
                count.scalar_subquery().label("parts"),
                words.where(part_texts.c.item_id == items.c.id).scalar_subquery().label("part_words"),
                by_model.where(tags.c.item_id == items.c.id).scalar_subquery().label("tags"),
                by_people.where(own_tags.c.photo_id == photos.c.id).scalar_subquery().label("own_tags"),
            )
            .join(items, items.c.id == embeddings.c.item_id)
            .join(contents, contents.c.id == items.c.content_id)
            .join(photos, photos.c.content_id == contents.c.id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .outerjoin(captions, captions.c.item_id == items.c.id)
            .outerjoin(ocr, ocr.c.item_id == items.c.id)
            .outerjoin(tagged, tagged.c.item_id == items.c.id)
            .where(embeddings.c.id.between(first, last), embeddings.c.model_id == self._model, can_be_found())
            .order_by(embeddings.c.id, photos.c.path)
        )
        for row in self._connection.execute(query):
            surest = sorted(json.loads(row.tags), key=lambda pair: (-pair[1], pair[0]))
            yield (
                positions[row.vector],
                ExportRow(
                    file=Found(os.fsdecode(row.path), row.size, row.mtime_ns),
                    hash=row.hash,
                    width=row.width,
                    height=row.height,
                    format=row.format,
                    taken_at=row.taken_at,
                    camera=row.camera,
                    lens=row.lens,
                    latitude=row.latitude,
                    longitude=row.longitude,
                    description=row.description,
                    city=row.city,
                    people=annotations_of(None, row.people, None).people,
                    rating=row.rating,
                    label=row.label,
                    **{name: getattr(row, name) for name in SHOT},
                    dhash=row.dhash,
                    metadata_version=row.metadata_version,
                    content_identifier=row.content_identifier,
                    sidecar=None if row.sidecar_stamp is None else sidecar_of(row),
                    sidecar_stamp=row.sidecar_stamp,
                    caption=row.caption,
                    caption_model=row.reranker,
                    caption_confidence=row.confidence,
                    text=row.read,
                    text_engine=row.engine,
                    tags=dict(surest),
                    tags_vocabulary=row.vocabulary,
                    film=film_of(row._mapping),
                    **_part(row),
                    own_tags=tuple(sorted(json.loads(row.own_tags))),
                ),
            )


def _part(row: Any) -> dict[str, Any]:
    """What is said of a part of a file; nothing of what is one picture."""
    if row.parts == 1 and row.start_ms is None:
        return {}
    names = ("part", "parts", "start_ms", "end_ms", "at_ms")
    return {**{name: getattr(row, name) for name in names}, "part_words": json.loads(row.part_words)}


_SAME = select(contents.c.id).where(contents.c.hash == bindparam("hash"))
_ITEM = select(items.c.id).where(items.c.content_id == bindparam("content"), items.c.part == bindparam("part"))
FIRST_ITEM = select(items.c.id).where(items.c.content_id == bindparam("content"), items.c.part == 0)
_CONTENT = (
    "hash",
    "width",
    "height",
    "format",
    "taken_at",
    "camera",
    "lens",
    *SHOT,
    "latitude",
    "longitude",
    "description",
    "content_identifier",
)


def put(connection: Connection, upserts: Upserts, new: ExportRow, vector: bytes, model: int) -> tuple[int, int]:
    """Store what is known of a content, or of a part of it, but for its tokens; what is stored already stays.

    Returns the ids of the content and of the item.
    """

    def add(table: Table, **values: object) -> bool:
        return bool(connection.execute(upserts.add[table], values).rowcount)

    known = {name: getattr(new, name) for name in (*_CONTENT, "dhash", "metadata_version")}
    noted = annotation_columns(Annotations(new.city, new.people, new.rating, new.label))
    add(contents, **known, **noted, **film_columns(new.film))
    content: int = connection.execute(_SAME, {"hash": new.hash}).scalar_one()
    part = new.part or 0
    add(items, content_id=content, part=part, start_ms=new.start_ms, end_ms=new.end_ms, at_ms=new.at_ms)
    item: int = connection.execute(_ITEM, {"content": content, "part": part}).scalar_one()
    add(embeddings, item_id=item, model_id=model, vector=vector)
    if new.caption is not None:
        judged = {"reranker": new.caption_model or "", "confidence": new.caption_confidence or 0.0}
        add(captions, item_id=item, text=new.caption, **judged)
    if new.text is not None:
        add(ocr, item_id=item, engine=new.text_engine or "", text=new.text)
    if new.tags_vocabulary is not None and add(tagged, item_id=item, vocabulary=new.tags_vocabulary):
        for tag, score in new.tags.items():
            add(tags, item_id=item, tag=tag, vocabulary=new.tags_vocabulary, score=score)
    for source, said in new.part_words.items():
        add(part_texts, item_id=item, source=source, text=said)
    return content, item
