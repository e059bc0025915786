"""What is still to be done: items that lack region tokens, captions, text or tags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, false, or_, select

from mmsearch.encoders.protocol import RegionCard
from mmsearch.media import METADATA_VERSION
from mmsearch.store.paths import at_or_below
from mmsearch.store.sql.dialect import least
from mmsearch.store.sql.reading import Reading
from mmsearch.store.sql.sounds import IS_SOUND, WORDLESS
from mmsearch.store.sql.tables import (
    captions,
    contents,
    embeddings,
    is_first,
    items,
    ocr,
    photos,
    regions,
    sidecars,
    tagged,
    transcribed,
)
from mmsearch.store.types import PendingItem, PendingVector, SidecarState, StoredModel
from mmsearch.types import Found


def with_regions(model: StoredModel, card: RegionCard | None = None) -> Select[tuple[int]]:
    """Ids of the items that have region tokens: of this card, or of any."""
    query = select(regions.c.item_id).where(regions.c.model_id == model.id)
    return query if card is None else query.where(regions.c.fingerprint == card.fingerprint)


def _embedded(model: StoredModel | None) -> Select[tuple[int]]:
    """Ids of the items that have a vector: of this model, or of any."""
    query = select(embeddings.c.item_id)
    return query if model is None else query.where(embeddings.c.model_id == model.id)


class Pending(Reading):
    """What an enrichment has still to look at; each method names one."""

    def pending_regions(
        self, model: StoredModel, card: RegionCard, roots: Sequence[str], of: StoredModel | None = None
    ) -> list[PendingItem]:
        if not roots:
            return []
        having = with_regions(of or model, card)
        if of is not None:  # tokens are found by the id of a vector of theirs, and verify may have taken that out
            having = having.where(regions.c.item_id.in_(_embedded(of)))
        return self._pending(model, items.c.id.not_in(having) & ~IS_SOUND, roots)

    def pending_metadata(self, model: StoredModel, roots: Sequence[str]) -> list[PendingItem]:
        if not roots:
            return []
        return self._pending(model, (contents.c.metadata_version < METADATA_VERSION) & is_first(model.id), roots)

    def pending_text(self, engine: str, roots: Sequence[str]) -> list[PendingItem]:
        looked = select(ocr.c.item_id).where(ocr.c.engine == engine)
        return self._pending(None, items.c.id.not_in(looked) & ~IS_SOUND, roots) if roots else []

    def pending_speech(self, engine: str, roots: Sequence[str]) -> list[PendingItem]:
        heard = select(transcribed.c.content_id).where(transcribed.c.engine == engine)
        silent = contents.c.audio.is_not(True) | contents.c.id.in_(heard) | ~is_first(None)
        return self._pending(None, ~silent, roots, ("ok", WORDLESS)) if roots else []

    def pending_captions(
        self, model: StoredModel, card: RegionCard, reranker: str, roots: Sequence[str]
    ) -> list[PendingVector]:
        if not roots:
            return []
        captioned = select(captions.c.item_id).where(captions.c.reranker == reranker)
        query = (
            select(items.c.id.label("item"), embeddings.c.id.label("vector"), least(photos.c.path).label("path"))
            .join(embeddings, embeddings.c.item_id == items.c.id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                items.c.id.in_(with_regions(model, card)),
                items.c.id.not_in(captioned),
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .group_by(items.c.id, embeddings.c.id)
            .order_by(items.c.id)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [PendingVector(row.item, row.vector, os.fsdecode(row.path)) for row in rows]

    def pending_tags(self, model: StoredModel, vocabulary: str, within: Sequence[str] = ()) -> list[PendingVector]:
        query = (
            select(items.c.id.label("item"), embeddings.c.id.label("vector"), least(photos.c.path).label("path"))
            .join(embeddings, embeddings.c.item_id == items.c.id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                items.c.id.not_in(select(tagged.c.item_id).where(tagged.c.vocabulary == vocabulary)),
                items.c.content_id.not_in(select(contents.c.id).where(IS_SOUND)),
            )
            .group_by(items.c.id, embeddings.c.id)
            .order_by(items.c.id)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [PendingVector(row.item, row.vector, os.fsdecode(row.path)) for row in rows]

    def sidecar_states(self, roots: Sequence[str]) -> Iterator[SidecarState]:
        query = (
            select(photos.c.id, photos.c.path, sidecars.c.stamp, contents.c.hash)
            .join(contents, contents.c.id == photos.c.content_id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .where(
                photos.c.state.in_(("ok", WORDLESS)),
                or_(false(), *(at_or_below(photos.c.path, root) for root in roots)),
            )
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return (SidecarState(row.id, os.fsdecode(row.path), row.stamp, row.hash) for row in rows)

    def _pending(
        self,
        model: StoredModel | None,
        condition: ColumnElement[bool],
        roots: Sequence[str],
        states: Sequence[str] = ("ok",),
    ) -> list[PendingItem]:
        query = (
            select(
                items.c.id,
                items.c.content_id,
                contents.c.hash,
                items.c.part,
                items.c.at_ms,
                photos.c.path,
                photos.c.size,
                photos.c.mtime_ns,
            )
            .join(contents, contents.c.id == photos.c.content_id)
            .join(items, items.c.content_id == contents.c.id)
            .where(
                photos.c.state.in_(states),
                items.c.id.in_(_embedded(model)),
                condition,
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .order_by(photos.c.path, items.c.part)
        )
        found: dict[tuple[int, int, bytes, int, int | None], list[Found]] = {}
        with self._reading() as connection:
            for row in connection.execute(query):
                files = found.setdefault((row.id, row.content_id, row.hash, row.part, row.at_ms), [])
                files.append(Found(os.fsdecode(row.path), row.size, row.mtime_ns))
        return [
            PendingItem(item, content, content_hash, tuple(files), part, at_ms)
            for (item, content, content_hash, part, at_ms), files in found.items()
        ]
