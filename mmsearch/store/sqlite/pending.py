"""What is still to be done: contents that lack region tokens, captions, text or tags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, false, func, or_, select

from mmsearch.encoders.protocol import RegionCard
from mmsearch.media import METADATA_VERSION
from mmsearch.store.paths import at_or_below
from mmsearch.store.sqlite.connection import Database
from mmsearch.store.sqlite.tables import captions, contents, embeddings, ocr, photos, regions, sidecars, tagged
from mmsearch.store.types import PendingItem, PendingVector, SidecarState, StoredModel
from mmsearch.types import Found


def with_regions(model: StoredModel, card: RegionCard | None = None) -> Select[tuple[int]]:
    """Ids of the contents that have region tokens: of this card, or of any."""
    query = select(regions.c.content_id).where(regions.c.model_id == model.id)
    return query if card is None else query.where(regions.c.fingerprint == card.fingerprint)


class Pending(Database):
    """What an enrichment has still to look at; each method names one."""

    def pending_regions(self, model: StoredModel, card: RegionCard, roots: Sequence[str]) -> list[PendingItem]:
        """Contents of pictures in or below ``roots`` that can be found, but without tokens of this card.

        In the order of their first paths.
        """
        if not roots:
            return []
        return self._pending(model, contents.c.id.not_in(with_regions(model, card)), roots)

    def pending_metadata(self, model: StoredModel, roots: Sequence[str]) -> list[PendingItem]:
        """Contents of pictures in or below ``roots`` that can be found, but were not read by this version.

        In the order of their first paths.
        """
        return self._pending(model, contents.c.facts < METADATA_VERSION, roots) if roots else []

    def pending_text(self, engine: str, roots: Sequence[str]) -> list[PendingItem]:
        """Contents of pictures in or below ``roots`` that can be found, but were not looked at for text by this engine.

        In the order of their first paths.
        """
        looked = select(ocr.c.content_id).where(ocr.c.engine == engine)
        return self._pending(None, contents.c.id.not_in(looked), roots) if roots else []

    def pending_captions(
        self, model: StoredModel, card: RegionCard, reranker: str, roots: Sequence[str]
    ) -> list[PendingVector]:
        """Contents in or below ``roots`` that can be found and have tokens of this card, but no caption.

        A caption of another reranker than that of this fingerprint is none.  In the order of their ids.
        """
        if not roots:
            return []
        captioned = select(captions.c.content_id).where(captions.c.reranker == reranker)
        query = (
            select(embeddings.c.content_id, embeddings.c.id, func.min(photos.c.path))
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                embeddings.c.content_id.in_(with_regions(model, card)),
                embeddings.c.content_id.not_in(captioned),
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .group_by(embeddings.c.content_id, embeddings.c.id)
            .order_by(embeddings.c.content_id)
        )
        with self._reading() as connection:
            return [
                PendingVector(content, vector, os.fsdecode(path)) for content, vector, path in connection.execute(query)
            ]

    def pending_tags(self, model: StoredModel, vocabulary: str, within: Sequence[str] = ()) -> list[PendingVector]:
        """Contents that can be found and were not compared with this vocabulary, by its fingerprint.

        ``within`` keeps those that have a file in or below these paths.  In the order of their ids.
        """
        query = (
            select(embeddings.c.content_id, embeddings.c.id, func.min(photos.c.path))
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                embeddings.c.content_id.not_in(select(tagged.c.content_id).where(tagged.c.vocabulary == vocabulary)),
            )
            .group_by(embeddings.c.content_id, embeddings.c.id)
            .order_by(embeddings.c.content_id)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return [
                PendingVector(content, vector, os.fsdecode(path)) for content, vector, path in connection.execute(query)
            ]

    def sidecar_states(self, roots: Sequence[str]) -> Iterator[SidecarState]:
        """The photos in or below ``roots`` that can be found, in the order of their paths."""
        query = (
            select(photos.c.id, photos.c.path, sidecars.c.stamp)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .where(photos.c.state == "ok", or_(false(), *(at_or_below(photos.c.path, root) for root in roots)))
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return (SidecarState(number, os.fsdecode(path), stamp) for number, path, stamp in rows)

    def _pending(self, model: StoredModel | None, lack: ColumnElement[bool], roots: Sequence[str]) -> list[PendingItem]:
        embedded = select(embeddings.c.content_id)
        if model is not None:
            embedded = embedded.where(embeddings.c.model_id == model.id)
        query = (
            select(contents.c.id, contents.c.hash, photos.c.path, photos.c.size, photos.c.mtime_ns)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(
                photos.c.state == "ok",
                contents.c.id.in_(embedded),
                lack,
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .order_by(photos.c.path)
        )
        found: dict[tuple[int, bytes], list[Found]] = {}
        with self._reading() as connection:
            for content, content_hash, path, size, time in connection.execute(query):
                found.setdefault((content, content_hash), []).append(Found(os.fsdecode(path), size, time))
        return [PendingItem(content, content_hash, tuple(files)) for (content, content_hash), files in found.items()]
