"""All that is known of the files that can be found: read in blocks for an export, and stored as an import brings it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from sqlalchemy import Connection, Table, bindparam, func, select, text
from sqlalchemy.dialects.sqlite import insert

from mmsearch.store.sqlite.noted import SHOT, annotation_columns, annotations_of, sidecar_of
from mmsearch.store.sqlite.tables import (
    captions,
    contents,
    embeddings,
    items,
    ocr,
    photos,
    regions,
    sidecars,
    tagged,
    tags,
)
from mmsearch.store.types import Block, ExportRow
from mmsearch.types import Annotations, Found

BLOCK = 500  # vectors read together
_FOUND = text("+photos.state = 'ok'")  # the plus keeps SQLite from reading all photos in this state each time


class ExportRows:
    """Of one model, at one moment: the transaction of ``connection``."""

    def __init__(self, connection: Connection, model: int) -> None:
        self._connection, self._model = connection, model
        there = (
            select(photos.c.id)
            .join(items, items.c.content_id == photos.c.content_id)
            .where(items.c.id == embeddings.c.item_id, _FOUND)
        )
        self._found = (embeddings.c.model_id == model) & there.exists()
        of_model = regions.c.model_id == model
        most = (
            select(regions.c.fingerprint)
            .where(of_model)
            .group_by(regions.c.fingerprint)
            .order_by(func.count().desc())
            .limit(1)
        )
        self.region_card: str | None = connection.execute(most).scalar_one_or_none()  # fingerprint, of most of them
        size = select(func.length(regions.c.data)).where(of_model, regions.c.fingerprint == self.region_card).limit(1)
        self.region_bytes: int = connection.execute(size).scalar_one_or_none() or 0

    def vectors(self) -> int:
        """How many vectors a file has."""
        return int(self._connection.execute(select(func.count(embeddings.c.id)).where(self._found)).scalar_one())

    def blocks(self) -> Iterator[Block]:
        """All of them, in the order of the ids of the vectors; copies, which share one, in the order of their paths."""
        data = select(regions.c.data).where(
            regions.c.item_id == embeddings.c.item_id,
            regions.c.model_id == self._model,
            regions.c.fingerprint == self.region_card,
            func.length(regions.c.data) == self.region_bytes,
        )
        query = select(embeddings.c.id, embeddings.c.vector, data.scalar_subquery()).where(self._found)
        query = query.order_by(embeddings.c.id).limit(BLOCK)
        last = -1
        while rows := self._connection.execute(query.where(embeddings.c.id > last)).all():
            first, last = rows[0][0], rows[-1][0]
            positions = {number: position for position, (number, *_) in enumerate(rows)}
            yield Block(
                [row[1] for row in rows],
                [row[2] for row in rows],
                list(self._files(first, last, positions)),
                tuple(positions),
            )

    def _files(self, first: int, last: int, positions: dict[int, int]) -> Iterator[tuple[int, ExportRow]]:
        own_tags = select(func.json_group_array(func.json_array(tags.c.tag, tags.c.score)))
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
                own_tags.where(tags.c.item_id == items.c.id).scalar_subquery().label("tags"),
            )
            .join(items, items.c.id == embeddings.c.item_id)
            .join(contents, contents.c.id == items.c.content_id)
            .join(photos, photos.c.content_id == contents.c.id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .outerjoin(captions, captions.c.item_id == items.c.id)
            .outerjoin(ocr, ocr.c.item_id == items.c.id)
            .outerjoin(tagged, tagged.c.item_id == items.c.id)
            .where(embeddings.c.id.between(first, last), embeddings.c.model_id == self._model, _FOUND)
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
                    sidecar=None if row.sidecar_stamp is None else sidecar_of(row),
                    sidecar_stamp=row.sidecar_stamp,
                    caption=row.caption,
                    caption_model=row.reranker,
                    caption_confidence=row.confidence,
                    text=row.read,
                    text_engine=row.engine,
                    tags=dict(surest),
                    tags_vocabulary=row.vocabulary,
                ),
            )


# Made once, as those of ``store.py``.
_ADD = {
    one: insert(one).on_conflict_do_nothing()
    for one in (contents, items, embeddings, regions, captions, ocr, tagged, tags)
}
_SAME = select(contents.c.id).where(contents.c.hash == bindparam("hash"))
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
)


def put(
    connection: Connection, new: ExportRow, vector: bytes, tokens: bytes | None, card: str | None, model: int
) -> int:
    """Store what is known of a content, with its region tokens of this card; what is stored already stays.

    Returns the content's id.
    """

    def add(table: Table, **values: object) -> bool:
        return bool(connection.execute(_ADD[table], values).rowcount)

    known = {name: getattr(new, name) for name in (*_CONTENT, "dhash", "metadata_version")}
    add(contents, **known, **annotation_columns(Annotations(new.city, new.people, new.rating, new.label)))
    content: int = connection.execute(_SAME, {"hash": new.hash}).scalar_one()
    add(items, content_id=content, part=0)
    item: int = connection.execute(FIRST_ITEM, {"content": content}).scalar_one()
    add(embeddings, item_id=item, model_id=model, vector=vector)
    if tokens is not None:
        add(regions, item_id=item, model_id=model, fingerprint=card, data=tokens)
    if new.caption is not None:
        said = {"reranker": new.caption_model or "", "confidence": new.caption_confidence or 0.0}
        add(captions, item_id=item, text=new.caption, **said)
    if new.text is not None:
        add(ocr, item_id=item, engine=new.text_engine or "", text=new.text)
    if new.tags_vocabulary is not None and add(tagged, item_id=item, vocabulary=new.tags_vocabulary):
        for tag, score in new.tags.items():
            add(tags, item_id=item, tag=tag, vocabulary=new.tags_vocabulary, score=score)
    return content
