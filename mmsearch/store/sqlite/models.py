"""The models that a library has vectors of."""

from __future__ import annotations

from sqlalchemy import func, select

from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.sqlite.tables import embedded, embeddings, models, photos
from mmsearch.store.types import KeptModel, StoredModel


class Models(Database):
    """Which models there are, which of them is searched with, and for how many pictures its vectors are missing."""

    def model(self) -> StoredModel | None:
        with explained(self.file), self._values.reading() as (connection, cached):
            active = "SELECT id, name, fingerprint, dim FROM models WHERE active"
            row = cached.of(active, lambda: connection.execute(active).fetchone())
        return StoredModel(*row) if row else None

    def kept_models(self) -> list[KeptModel]:
        count = func.count(embeddings.c.id).label("vectors")
        query = (
            select(models.c.id, models.c.name, models.c.fingerprint, models.c.dim, models.c.active, count)
            .outerjoin(embeddings, embeddings.c.model_id == models.c.id)
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

    def known_model(self, fingerprint: str) -> StoredModel | None:
        one = "SELECT id, name, fingerprint, dim FROM models WHERE fingerprint = ?"
        with explained(self.file), self._values.reading() as (connection, cached):
            row = cached.of((one, fingerprint), lambda: connection.execute(one, (fingerprint,)).fetchone())
        return StoredModel(*row) if row else None

    def pending_vectors(self, model: StoredModel) -> int:
        lacking = photos.c.content_id.not_in(embedded(model.id))
        query = select(func.count()).where(photos.c.state == "ok", lacking)
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())
