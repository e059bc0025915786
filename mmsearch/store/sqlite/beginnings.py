"""Values that a library has of a field, by their beginning: for completion in a shell, which waits for each key.

SQLAlchemy takes longer to import than a shell may wait, so this asks SQLite itself.  The database is opened for reading
alone: nothing is brought up to date, made or locked.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_CONTENTS = "SELECT {0} AS value, COUNT(*) AS number FROM contents WHERE {0} IS NOT NULL GROUP BY {0}"
_NOTED = (
    "SELECT value, COUNT(*) AS number FROM (SELECT {0} AS value FROM contents UNION ALL SELECT {0} FROM sidecars) "
    "WHERE value IS NOT NULL GROUP BY value"
)
_VALUES = {  # field -> its values and how many pictures have each
    "camera": _CONTENTS.format("camera"),
    "city": _NOTED.format("city"),
    "label": _NOTED.format("label"),
    "lens": _CONTENTS.format("lens"),
    "person": _NOTED.format("people"),  # a name a line
    "tag": "SELECT tag AS value, COUNT(*) AS number FROM tags GROUP BY tag",
    "type": _CONTENTS.format("format"),
}
FIELDS = tuple(_VALUES)


def beginnings(file: Path, field: str, start: str, most: int) -> list[str]:
    """Values of one of ``FIELDS`` that begin with ``start`` in whatever case, at most so many, the most frequent first.

    Empty where there is no library, or it cannot be read as it is.
    """
    counts: dict[str, int] = {}
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(file)) as connection:
        for value, number in connection.execute(_VALUES[field]):
            for each in str(value).splitlines():
                if each.casefold().startswith(start.casefold()):
                    counts[each] = counts.get(each, 0) + number
    return sorted(counts, key=lambda value: (-counts[value], value))[:most]


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
