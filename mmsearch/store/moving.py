"""Moving a library from one store to another: its tables row by row, as they are at one moment, ids and all.

A copy is made in blocks, each in a transaction of the target, which notes in the same transaction how far it is
(``CopyState``).  So whatever ends it, the next one goes on behind the last block.  Until ``finish`` the target has no
active model: nobody searches half a library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

Row = tuple[Any, ...]  # the values of a table's columns, in the order of ``store/sql/tables.py``
Key = tuple[Any, ...]  # those of its primary key

# Parents first, so that each row finds what it refers to.  ``words`` has ids of photos alone: each driver writes anew
# what full-text search knows of them.
TABLES = (
    "roots", "exclusions", "models", "contents", "photos", "items", "embeddings", "regions", "captions", "ocr",
    "part_texts", "transcribed", "tags", "tagged", "own_tags", "waiting_tags", "sidecars", "words",
)  # fmt: skip


@dataclass(frozen=True)
class CopyState:
    """How far a copy is, as the target notes it."""

    source: str  # identity of the library that is copied
    stamp: str  # its state: see ``RowSource.stamp``
    table: str = TABLES[0]  # the one that is copied now
    after: Key | None = None  # the key of the last row of it that is there
    rows: int = 0  # that are there, of all tables
    finished: bool = False
    changes: int = -1  # of the target when this was noted: whoever else writes to it makes another number

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "after": None if self.after is None else [_packed(v) for v in self.after]})

    @classmethod
    def of_json(cls, text: str) -> CopyState:
        """Raises ValueError, TypeError or LookupError for what is none."""
        values = json.loads(text)
        after = values["after"]
        return cls(**{**values, "after": None if after is None else tuple(map(_unpacked, after))})


def _packed(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _unpacked(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


class RowSource(Protocol):
    """A library as it is at one moment, whatever is written meanwhile."""

    def state(self) -> CopyState | None:
        """What is noted of a copy that this library is; None where it is none."""
        ...

    def stamp(self) -> str:
        """Tells this state of the library from those before and after each transaction that writes."""
        ...

    def count(self, table: str) -> int:
        """How many rows a table of ``TABLES`` has."""
        ...

    def page(self, table: str, after: Key | None, most: int) -> tuple[list[Row], Key | None]:
        """The next rows behind a key, in the order of keys, at most ``most``; and the last key, None at the end.

        Rows may be fewer than were looked at, where the blob of one is lost.  Of ``words`` a row is the id of a photo.
        """
        ...

    def active(self) -> int | None:
        """The id of the model that is searched with."""
        ...

    def numbers(self) -> Mapping[str, int]:
        """By table the last id that was handed out; no later row may have it, or one before."""
        ...


class RowTarget(Protocol):
    """One transaction of the library that a copy is written to."""

    def state(self) -> CopyState | None:
        """What is noted of a copy; None where none was begun.  Raises LibraryError for what cannot be read."""
        ...

    def changes(self) -> int:
        """Grows with each transaction that writes to the library."""
        ...

    def is_empty(self) -> bool:
        """Whether the library knows nothing at all."""
        ...

    def clear(self) -> None:
        """Forget all that was copied."""
        ...

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows that are not there, under their ids.  Raises LibraryError for rows that do not fit together."""
        ...

    def finish(self, active: int | None, numbers: Mapping[str, int]) -> None:
        """Search with this model from now on, and hand out ids behind these numbers."""
        ...

    def note(self, state: CopyState) -> None:
        """Note how far the copy is; last in the transaction."""
        ...


class Movable(Protocol):
    """A store that can be copied, and copied to."""

    def copied_from(self) -> AbstractContextManager[RowSource]:
        """Its rows as they are now.  Meanwhile others may write, and threads may read otherwise."""
        ...

    def copied_to(self) -> AbstractContextManager[RowTarget]:
        """One transaction that adds rows.  The caller has the lock of writers."""
        ...
