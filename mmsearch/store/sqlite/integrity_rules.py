"""The rules of ``integrity.py``: rows of a library's database that break them, and what mends these."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.store.sql.noted import SHOT

# Read again by the next ``mmsearch index``, because no file has this time.
_AGAIN = "UPDATE photos SET state = 'failed', reason = 'the library lost what it knew of it', mtime_ns = -1"
READ = "the files are read again by the next index run"
LEFT = "they are taken out"


@dataclass(frozen=True)
class Rule:
    """Rows that break it, and statements that mend them; ``{where}`` stands for the condition."""

    kind: str
    table: str
    where: str
    what: str
    remedy: str
    mend: tuple[str, ...]


def _stray(table: str, key: str, of: str, what: str) -> Rule:
    where = f"{key} NOT IN (SELECT id FROM {of})"
    return Rule(f"stray {table}", table, where, what, LEFT, (f"DELETE FROM {table} WHERE {{where}}",))


def _no_place(before: str = "") -> str:
    latitude, longitude = f"{before}latitude", f"{before}longitude"
    return (
        f"{latitude} NOT BETWEEN -90 AND 90 OR {longitude} NOT BETWEEN -180 AND 180 "
        f"OR ({latitude} IS NULL) <> ({longitude} IS NULL)"
    )


_NO_RATING = "rating NOT IN (-1, 1, 2, 3, 4, 5)"
_NO_EXPOSURE = " OR ".join(f"{name} <= 0 OR typeof({name}) IN ('text', 'blob')" for name in SHOT)
_LOST_CONTENT = (
    _AGAIN + ", content_id = NULL WHERE content_id IN (SELECT id FROM contents WHERE {where})",
    "DELETE FROM contents WHERE {where}",
)
_METADATA_AGAIN = (
    "UPDATE contents SET taken_at = NULL, latitude = NULL, longitude = NULL, rating = NULL, dhash = NULL, "
    + "".join(f"{name} = NULL, " for name in SHOT)
    + "metadata_version = 0 WHERE {where}",
)
_ACTIVE = (
    "SELECT items.content_id FROM embeddings JOIN items ON items.id = embeddings.item_id "
    "WHERE model_id = (SELECT id FROM models WHERE active)"
)
_LACKING_PARTS = (
    "SELECT content_id FROM items WHERE content_id IN (SELECT content_id FROM items WHERE part > 0) AND id NOT IN "
    "(SELECT item_id FROM embeddings WHERE model_id = (SELECT id FROM models WHERE active))"
)

_COUNTED = ("embeddings", "contents", "items", "photos")  # tables whose ids are never used twice

WHERE = ("no path", "wrong root", "wrong pattern")  # kinds of damage of what says where ``index`` looks

# In an order in which mending one does not break another that comes before.
RULES = (
    _stray("items", "content_id", "contents", "items of no picture"),
    Rule(
        "wrong item",
        "items",
        "part < 0 OR (start_ms IS NULL) <> (end_ms IS NULL) OR start_ms < 0 OR end_ms < start_ms "
        "OR at_ms < start_ms OR at_ms > end_ms OR (at_ms IS NOT NULL AND start_ms IS NULL)",
        "items with an impossible place or time",
        READ,
        (
            _AGAIN + " WHERE content_id IN (SELECT content_id FROM items WHERE {where})",
            "DELETE FROM items WHERE {where}",
        ),
    ),
    _stray("embeddings", "item_id", "items", "vectors of no picture"),
    _stray("embeddings", "model_id", "models", "vectors of no model"),
    _stray("regions", "item_id", "items", "region tokens of no picture"),
    _stray("regions", "model_id", "models", "region tokens of no model"),
    _stray("captions", "item_id", "items", "captions of no picture"),
    _stray("ocr", "item_id", "items", "texts of no picture"),
    _stray("part_texts", "item_id", "items", "words of no picture"),
    _stray("transcribed", "content_id", "contents", "marks of listening to no film"),
    _stray("tags", "item_id", "items", "tags of no picture"),
    _stray("tagged", "item_id", "items", "marks of tagging of no picture"),
    _stray("own_tags", "photo_id", "photos", "tags of no photo, given by people"),
    _stray("sidecars", "photo_id", "photos", "texts of files beside no photo"),
    Rule(
        "no path",
        "photos",
        "NOT storable(path) OR path_name(path) = x''",
        "photos whose path is none",
        LEFT,
        ("DELETE FROM photos WHERE {where}",),
    ),
    Rule(
        "wrong root",
        "roots",
        "NOT storable(path)",
        "folders whose path is none",
        LEFT,
        ("DELETE FROM roots WHERE {where}",),
    ),
    _stray("exclusions", "root_id", "roots", "patterns of no folder"),
    Rule(
        "wrong pattern",
        "exclusions",
        "typeof(glob) <> 'blob' OR length(glob) = 0 OR instr(glob, x'00')",
        "patterns that no name can meet",
        LEFT,
        ("DELETE FROM exclusions WHERE {where}",),
    ),
    Rule(
        "wrong hash",
        "contents",
        "typeof(hash) <> 'blob' OR length(hash) <> 16",
        "pictures whose hash is none",
        READ,
        _LOST_CONTENT,
    ),
    Rule(
        "wrong size",
        "contents",
        "typeof(width) <> 'integer' OR typeof(height) <> 'integer' OR ((width < 1 OR height < 1) AND "
        "NOT (width = 0 AND height = 0 AND audio))",  # sound has no picture
        "pictures without width or height",
        READ,
        _LOST_CONTENT,
    ),
    Rule(
        "wrong facts",
        "contents",
        f"(dhash IS NOT NULL AND length(dhash) <> 8) OR {_no_place()} OR {_NO_RATING} OR {_NO_EXPOSURE}",
        "pictures with an impossible place, rating, exposure or hash of looks",
        "these facts are read again by the next index run",
        _METADATA_AGAIN,
    ),
    Rule(
        "wrong film",
        "contents",
        "duration_ms < 0 OR fps <= 0 OR audio NOT IN (0, 1) OR (codec IS NOT NULL AND duration_ms IS NULL)",
        "films with an impossible length or rate",
        "these facts are read again by the next index run",
        (
            "UPDATE contents SET duration_ms = NULL, fps = NULL, codec = NULL, audio = NULL, metadata_version = 0 "
            "WHERE {where}",
        ),
    ),
    Rule(
        "wrong facts beside",
        "sidecars",
        f"{_no_place()} OR {_no_place('later_')} OR {_NO_RATING}",
        "photos with an impossible place or rating in files beside them",
        "these files are read again by the next index run",
        ("DELETE FROM sidecars WHERE {where}",),
    ),
    Rule(
        "wrong vector",
        "embeddings",
        # Of sound they have no bytes.
        "length(vector) <> 2 * (SELECT dim FROM models WHERE models.id = model_id) "
        "* (item_id NOT IN (SELECT items.id FROM contents CROSS JOIN items ON items.content_id = contents.id "
        "WHERE contents.width = 0))",
        "vectors of the wrong length",
        READ,
        ("DELETE FROM embeddings WHERE {where}",),
    ),
    Rule(
        "wrong caption",
        "captions",
        "confidence NOT BETWEEN 0 AND 1",
        "captions with an impossible confidence",
        f"{LEFT}; the next index run with captions writes new ones",
        ("DELETE FROM captions WHERE {where}",),
    ),
    Rule(
        "wrong tag",
        "tags",
        "score NOT BETWEEN 0 AND 1",
        "tags with an impossible score",
        f"{LEFT}; tagging finds them again",
        (
            "DELETE FROM tagged WHERE item_id IN (SELECT item_id FROM tags WHERE {where})",
            "DELETE FROM tags WHERE {where}",
        ),
    ),
    Rule(
        "wrong own tag",
        "own_tags",
        "tag_key(tag) IS NULL OR folded IS NOT tag_key(tag)",
        "tags of people that are no tags, or cannot be found",
        "they are written anew; what is no tag is taken out",
        (
            "DELETE FROM own_tags WHERE tag_key(tag) IS NULL",
            "UPDATE OR REPLACE own_tags SET folded = tag_key(tag) WHERE {where}",
        ),
    ),
    Rule(
        "lost content",
        "photos",
        "content_id IS NOT NULL AND content_id NOT IN (SELECT id FROM contents)",
        "photos whose content is not there",
        READ,
        (_AGAIN + ", content_id = NULL WHERE {where}",),
    ),
    Rule(
        "wrong state",
        "photos",
        "state NOT IN ('ok', 'failed', 'missing', 'wordless') OR size < 0 OR (state = 'failed' AND reason IS NULL) "
        "OR (state = 'wordless' AND content_id NOT IN (SELECT id FROM contents WHERE width = 0))",
        "photos in an unknown state",
        READ,
        (_AGAIN + ", size = 0 WHERE {where}",),
    ),
    Rule(
        "no vector",
        "photos",
        f"state = 'ok' AND (content_id IS NULL OR content_id NOT IN ({_ACTIVE}))",
        "photos that cannot be found, because they have no vector",
        READ,
        (_AGAIN + " WHERE {where}",),
    ),
    Rule(
        "no vector of a part",
        "photos",
        f"state = 'ok' AND content_id IN ({_ACTIVE}) AND content_id IN ({_LACKING_PARTS})",
        "films and documents of which a part cannot be found, because it has no vector",
        READ,
        (_AGAIN + " WHERE {where}",),
    ),
    Rule(
        "used ids",
        "sqlite_sequence",
        " OR ".join(f"(name = '{table}' AND seq < (SELECT max(id) FROM {table}))" for table in _COUNTED),
        "counters that would hand out ids twice",
        "they are set to the highest id",
        tuple(
            f"UPDATE sqlite_sequence SET seq = max(seq, (SELECT max(id) FROM {table})) WHERE name = '{table}' "
            f"AND EXISTS (SELECT 1 FROM {table})"
            for table in _COUNTED
        ),
    ),
)
