"""The models that a library has vectors of, counted."""

from __future__ import annotations

from sqlalchemy import func, select

from mmsearch.store.sql.reading import Reading
from mmsearch.store.sql.sounds import IS_SOUND
from mmsearch.store.sql.tables import contents, embedded, embeddings, items, models, photos
from mmsearch.store.types import KeptModel, StoredModel


class ModelCounts(Reading):
    """Of each model how many vectors there are, and for how many pictures they are missing."""

    def kept_models(self) -> list[KeptModel]:
        count = func.count(embeddings.c.id).label("vectors")
        sounds = select(items.c.id).join(contents, contents.c.id == items.c.content_id).where(IS_SOUND)
        own = embeddings.c.model_id == models.c.id
        query = (
            select(models.c.id, models.c.name, models.c.fingerprint, models.c.dim, models.c.active, count)
            .select_from(models)
            .outerjoin(embeddings, own & embeddings.c.item_id.not_in(sounds))  # these have ids and no vectors
            .group_by(models.c.id)
            .order_by(models.c.active.desc(), models.c.id.desc())
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        kept = []
        for row in rows:
            model = StoredModel(row.id, row.name, row.fingerprint, row.dim)
            kept.append(KeptModel(model, bool(row.active), row.vectors, self.pending_vectors(model)))
        return kept

    def pending_vectors(self, model: StoredModel) -> int:
        lacking = photos.c.content_id.not_in(embedded(model.id))
        query = select(func.count()).where(photos.c.state == "ok", lacking)
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())
