"""What is known of files and contents, in SQL that every engine understands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, false, func, or_, select

from mmsearch.media.remote_path import SCHEMES
from mmsearch.store.paths import at_or_below
from mmsearch.store.sql import noted, own_tags
from mmsearch.store.sql.reading import Reading
from mmsearch.store.sql.sounds import IS_SOUND, any_there
from mmsearch.store.sql.tables import (
    captions,
    contents,
    contents_with,
    embedded,
    embeddings,
    exclusions,
    is_first,
    items,
    lacking_part,
    photos,
    regions,
    roots,
    sidecars,
)
from mmsearch.store.types import Contents, Counts, DuplicateCandidate, StoredFile, StoredModel, StoredSound, chunks
from mmsearch.types import Damaged, Found, Skipped


class FileRows(Reading):
    """Files, their states, and what is counted of them."""

    def roots(self) -> list[str]:
        with self._reading() as connection:
            return sorted(os.fsdecode(path) for path in connection.execute(select(roots.c.path)).scalars())

    def exclusions(self) -> dict[str, tuple[str, ...]]:
        query = (
            select(roots.c.path, exclusions.c.glob)
            .join(exclusions, exclusions.c.root_id == roots.c.id)
            .order_by(roots.c.path, exclusions.c.position)
        )
        found: dict[str, tuple[str, ...]] = {}
        with self._reading() as connection:
            for path, glob in connection.execute(query):
                root = os.fsdecode(path)
                found[root] = (*found.get(root, ()), os.fsdecode(glob))
        return found

    def files(self, root: str, model: StoredModel) -> dict[str, StoredFile]:
        return self._files(model, at_or_below(photos.c.path, root))

    def files_at(self, paths: Sequence[str], model: StoredModel) -> dict[str, StoredFile]:
        found: dict[str, StoredFile] = {}
        for chunk in chunks([os.fsencode(path) for path in paths]):
            found |= self._files(model, photos.c.path.in_(chunk))
        return found

    def remote_lacking(self, model: StoredModel) -> dict[str, StoredFile]:
        remote = or_(*(at_or_below(photos.c.path, f"{scheme}://") for scheme in SCHEMES))
        lacking = photos.c.content_id.is_(None) | photos.c.content_id.not_in(embedded(model.id))
        return self._files(model, and_(remote, lacking, photos.c.state == "ok"))

    def _files(self, model: StoredModel, which: ColumnElement[bool]) -> dict[str, StoredFile]:
        query = select(
            photos.c.path,
            photos.c.id,
            photos.c.state,
            photos.c.size,
            photos.c.mtime_ns,
            photos.c.content_id,
            (photos.c.content_id.is_not(None) & photos.c.content_id.in_(embedded(model.id))).label("embedded"),
            photos.c.reason,
        ).where(which)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return {os.fsdecode(path): StoredFile(*others) for path, *others in rows}

    def contents(self, model: StoredModel) -> Contents:
        query = select(contents.c.hash, contents.c.id).join(items, items.c.content_id == contents.c.id)
        query = query.join(embeddings, embeddings.c.item_id == items.c.id)
        query = query.where(embeddings.c.model_id == model.id, items.c.part == 0, ~lacking_part(model.id))
        one = query.where(contents.c.hash == bindparam("hash"))

        def stored(content_hash: bytes) -> int | None:
            with self._reading() as connection:
                row = connection.execute(one, {"hash": content_hash}).one_or_none()
            return None if row is None else int(row.id)

        def every() -> dict[bytes, int]:
            with self._reading() as connection:
                return dict(tuple(row) for row in connection.execute(query).all())

        return Contents(stored, every)

    def existing_paths(self, paths: Sequence[str]) -> set[str]:
        found: set[str] = set()
        with self._reading() as connection:
            for chunk in chunks([os.fsencode(path) for path in paths]):
                rows = connection.execute(select(photos.c.path).where(photos.c.path.in_(chunk))).scalars()
                found.update(map(os.fsdecode, rows))
        return found

    def hashed(self) -> list[tuple[Found, bytes]]:
        query = (
            select(photos.c.path, photos.c.size, photos.c.mtime_ns, contents.c.hash)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(photos.c.state == "ok")
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [(Found(os.fsdecode(path), size, time), content_hash) for path, size, time, content_hash in rows]

    def failures(self) -> list[Skipped]:
        query = select(photos.c.path, photos.c.reason).where(photos.c.state == "failed").order_by(photos.c.path)
        with self._reading() as connection:
            return [Skipped(os.fsdecode(path), reason) for path, reason in connection.execute(query)]

    def damaged(self) -> list[Damaged]:
        query = (
            select(photos.c.path, contents.c.damage)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(photos.c.state == "ok", contents.c.damage.is_not(None))
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            return [Damaged(os.fsdecode(path), what) for path, what in connection.execute(query)]

    def counts(self) -> Counts:
        with self._reading() as connection:
            rows = connection.execute(select(photos.c.state, func.count()).group_by(photos.c.state)).all()
        by_state: dict[str, int] = dict(rows)
        return Counts(by_state.get("ok", 0), by_state.get("failed", 0), by_state.get("missing", 0))

    def with_regions(self, model: StoredModel) -> int:
        query = select(func.count()).where(
            photos.c.state == "ok",
            photos.c.content_id.in_(contents_with(regions).where(regions.c.model_id == model.id)),
        )
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def with_captions(self) -> int:
        query = select(func.count()).where(photos.c.state == "ok", photos.c.content_id.in_(contents_with(captions)))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def tag_counts(self, within: Sequence[str] = ()) -> dict[str, int]:
        with self._reading() as connection:
            return own_tags.counts(connection, within)

    def sounds(self, roots: Sequence[str]) -> dict[str, StoredSound]:
        query = (
            select(photos.c.path, photos.c.id, photos.c.state, photos.c.content_id)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(IS_SOUND, or_(false(), *(at_or_below(photos.c.path, root) for root in roots)))
        )
        with self._reading() as connection:
            rows = connection.execute(query).all() if any_there(connection) else ()
        return {os.fsdecode(path): StoredSound(*others) for path, *others in rows}

    def vector_of(self, path: str, model: StoredModel) -> int | None:
        query = (
            select(embeddings.c.id)
            .join(items, items.c.id == embeddings.c.item_id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .where(photos.c.path == os.fsencode(path), embeddings.c.model_id == model.id)
            .order_by(items.c.part)
        )
        with self._reading() as connection:
            return connection.execute(query).scalars().first()

    def content_hash(self, photo: int) -> bytes | None:
        query = select(contents.c.hash).join(photos, photos.c.content_id == contents.c.id).where(photos.c.id == photo)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def duplicate_candidates(self, model: StoredModel, within: Sequence[str] = ()) -> list[DuplicateCandidate]:
        query = (
            select(
                embeddings.c.id,
                photos.c.path,
                photos.c.size,
                photos.c.mtime_ns,
                contents.c.width * contents.c.height,
                noted.taken_at,
                contents.c.dhash,
                contents.c.id.in_(select(items.c.content_id).where(items.c.part > 0)),
                contents.c.content_identifier,
                *(contents.c[name] for name in noted.FILM),
            )
            .join(contents, contents.c.id == photos.c.content_id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .join(items, items.c.content_id == contents.c.id)
            .join(embeddings, embeddings.c.item_id == items.c.id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id, is_first(model.id))
            .order_by(photos.c.path)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return [
                DuplicateCandidate(
                    number,
                    Found(os.fsdecode(path), size, time),
                    pixels,
                    datetime.fromisoformat(taken) if taken else None,
                    looks,
                    bool(several),
                    noted.film_of(dict(zip(noted.FILM, film, strict=True))),
                    identifier,
                )
                for number, path, size, time, pixels, taken, looks, several, identifier, *film in (
                    connection.execute(query)
                )
            ]
