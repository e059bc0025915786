"""Statements that add rows or renew them, which each engine has its own words for.

Made once for an engine and given values when they run: making them anew took as long as running them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Insert, Table, func

from mmsearch.store.sql.noted import FILM, SHOT
from mmsearch.store.sql.tables import (
    captions,
    contents,
    embeddings,
    exclusions,
    items,
    models,
    ocr,
    part_texts,
    photos,
    regions,
    roots,
    sidecars,
    tagged,
    tags,
    transcribed,
)

_METADATA = (
    "taken_at", "camera", "lens", "latitude", "longitude", "description", "city", "people", "rating", "label", *SHOT,
    *FILM, "content_identifier", "dhash", "metadata_version", "damage",
)  # fmt: skip


class Upserts:
    """Those of one engine."""

    def __init__(self, insert: Callable[[Table], Any]) -> None:
        """``insert`` is that of the engine's dialect."""

        def renewing(table: Table, key: Sequence[str], renewed: Sequence[str]) -> Insert:
            """Adds a row; of one that is there with this key, renews these columns."""
            statement = insert(table)
            made: Insert = statement.on_conflict_do_update(
                index_elements=list(key), set_={name: statement.excluded[name] for name in renewed}
            )
            return made

        every = (models, roots, contents, items, embeddings, regions, captions, ocr, tagged, tags, part_texts)
        self.add: dict[Table, Insert] = {one: insert(one).on_conflict_do_nothing() for one in every}
        self.exclusion: Insert = insert(exclusions)
        self.content = renewing(contents, ["hash"], _METADATA)
        # What is stored of an item stays; a content that was one picture for another model may have become a film.
        part = insert(items)
        self.part: Insert = part.on_conflict_do_update(
            index_elements=["content_id", "part"],
            set_={name: func.coalesce(items.c[name], part.excluded[name]) for name in ("start_ms", "end_ms", "at_ms")},
        )
        self.caption = renewing(captions, ["item_id"], ["reranker", "text", "confidence"])
        self.part_text = renewing(part_texts, ["item_id", "source"], ["text"])
        self.text = renewing(ocr, ["item_id"], ["engine", "text"])
        self.speech = renewing(transcribed, ["content_id"], ["engine"])
        beside = [column.name for column in sidecars.c if column.name != "photo_id"]
        self.sidecar = renewing(sidecars, ["photo_id"], beside)
        self.placed = renewing(photos, ["path"], ["state", "reason", "content_id", "size", "mtime_ns"])
        self.failed = renewing(photos, ["path"], ["state", "reason", "size", "mtime_ns"])
