"""Audio files in the tables: a content of 0 x 0 pixels, whose items are the times that have words.

Nothing is made of these items but what is said in them, so they are made anew whenever other words come.
A file without words is kept in the state "wordless": it is known, is not read again, and cannot be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, select

from mmsearch.media.sound_parts import SoundPart, Told, parts_of_sound
from mmsearch.store.sql.tables import contents, embeddings, items, part_texts, photos
from mmsearch.store.sql.upserts import Upserts
from mmsearch.store.types import chunks

WORDLESS = "wordless"  # state of a photo
# As it stands in the index of the tables: of a value that comes later engines cannot know that it serves.
IS_SOUND = contents.c.width == literal_column("0")


def any_there(connection: Connection) -> bool:
    """Whether a library has any sound; answered by an index that has nothing else in it."""
    return connection.execute(select(contents.c.id).where(IS_SOUND).limit(1)).first() is not None


def put_words(
    connection: Connection, upserts: Upserts, content_hash: bytes, source: str, told: Iterable[Told]
) -> int | None:
    """What is said in a sound, where ``source`` is; in place of what was said there before.  Returns the content's id.

    None where there is no such sound, or all is as it was.
    """
    one = select(contents.c.id, contents.c.duration_ms).where(contents.c.hash == content_hash, IS_SOUND)
    row = connection.execute(one).first()
    if row is None:
        return None
    stored = _stored(connection, row.id)
    others = [
        Told(part.start_ms, part.end_ms, name, "\n".join(lines))
        for part in stored
        for name, lines in part.lines.items()
        if name != source
    ]
    parts = parts_of_sound(row.duration_ms or 0, [*others, *told])
    if _facts(parts) == _facts(stored):
        return None
    _replace(connection, upserts, row.id, parts)
    return int(row.id)


def settle(connection: Connection, photo_ids: set[int], content_ids: set[int], item_ids: set[int]) -> set[int]:
    """Whether the sounds among these files, contents and items have words decides whether they can be found.

    Returns the ids of the files of which that has changed.
    """
    if not any_there(connection):
        return set()
    of_items = select(items.c.content_id)
    ways: list[tuple[set[int], Any]] = [
        (photo_ids, lambda some: photos.c.id.in_(some)),
        (content_ids, lambda some: contents.c.id.in_(some)),
        (item_ids, lambda some: contents.c.id.in_(of_items.where(items.c.id.in_(some)))),
    ]
    changed: set[int] = set()
    for ids, among in ways:
        for some in chunks(sorted(ids)):
            changed |= _settle(connection, among(some))
    return changed


def _settle(connection: Connection, among: ColumnElement[bool]) -> set[int]:
    said = select(part_texts.c.item_id).join(items, items.c.id == part_texts.c.item_id)
    said = said.where(items.c.content_id == contents.c.id).correlate(contents)
    changed: set[int] = set()
    for before, after, wrong in (("ok", WORDLESS, ~said.exists()), (WORDLESS, "ok", said.exists())):
        query = select(photos.c.id).join(contents, contents.c.id == photos.c.content_id)
        ids = list(connection.execute(query.where(IS_SOUND, among, photos.c.state == before, wrong)).scalars())
        for some in chunks([number for number in ids if number not in changed]):
            connection.execute(photos.update().where(photos.c.id.in_(some)).values(state=after))
        changed.update(ids)
    return changed


def _stored(connection: Connection, content: int) -> list[SoundPart]:
    query = (
        select(items.c.id, items.c.start_ms, items.c.end_ms, part_texts.c.source, part_texts.c.text)
        .outerjoin(part_texts, part_texts.c.item_id == items.c.id)
        .where(items.c.content_id == content)
        .order_by(items.c.part, part_texts.c.source)
    )
    found: dict[int, SoundPart] = {}
    for row in connection.execute(query):
        part = found.setdefault(row.id, SoundPart(row.start_ms or 0, row.end_ms or 0))
        if row.source is not None:
            part.lines[row.source] = row.text.splitlines()
    return list(found.values())


def _facts(parts: Sequence[SoundPart]) -> list[tuple[int, int, dict[str, str]]]:
    return [(part.start_ms, part.end_ms, part.words()) for part in parts]


def _replace(connection: Connection, upserts: Upserts, content: int, parts: Sequence[SoundPart]) -> None:
    """Other items, with new ids: those of before mean nothing any more.  All models that had the old ones have them."""
    of_content = select(items.c.id).where(items.c.content_id == content)
    having = select(embeddings.c.model_id).where(embeddings.c.item_id.in_(of_content)).distinct()
    models = list(connection.execute(having).scalars())
    connection.execute(items.delete().where(items.c.content_id == content))
    rows = [
        {"content_id": content, "part": number, "start_ms": one.start_ms, "end_ms": one.end_ms, "at_ms": one.start_ms}
        for number, one in enumerate(parts)
    ]
    connection.execute(upserts.part, rows)
    numbers = list(connection.execute(of_content.order_by(items.c.part)).scalars())
    nothing = [{"item_id": item, "model_id": model, "vector": b""} for item in numbers for model in models]
    if nothing:
        connection.execute(upserts.add[embeddings], nothing)
    words = [
        {"item_id": item, "source": source, "text": text}
        for item, one in zip(numbers, parts, strict=True)
        for source, text in one.words().items()
        if text
    ]
    if words:
        connection.execute(upserts.part_text, words)
