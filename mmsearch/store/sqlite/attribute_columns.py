"""What is known of the files that can be found, a column each, as conditions compare it (``attribute_filter.py``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mmsearch.store.kept_map import LastMap
from mmsearch.types import Ids

if TYPE_CHECKING:
    from typing_extensions import Self

Mask = NDArray[np.bool_]  # (n,), of the n files that can be found

UNKNOWN = np.iinfo(np.int64).min  # a time that nobody knows
_BETWEEN = "char(30)"  # what separates texts that are read together
MOMENTS = "moments"  # key of the column with the times of files
# Columns of what may change while what can be found stays the same (``Writer.touch``, ``move``, ``put_text``).
_CHANGING = (
    ("file", "size"),
    ("file", "mtime_ns"),
    "path order",
    "positions of files",
    "text",
    "folders",
    "names of folders",
    "folders above",
    "names of folders above",
    "tags",
    "names of tags",
    "own tags",
    MOMENTS,
)
NOTED = "noted"  # begins the keys of columns that change with metadata and files beside photos (``Writer.noted``)


def microseconds(column: str) -> str:
    """SQL for microseconds since 1970 on the clock of the camera, as a column has it in ISO 8601.

    A time zone at the end is not looked at.
    """
    return (
        f"coalesce(strftime('%s', substr({column}, 1, 19)) * 1000000 "
        f"+ CASE WHEN substr({column}, 20, 1) = '.' THEN CAST(substr({column}, 21, 6) AS INTEGER) ELSE 0 END, "
        f"{UNKNOWN + 1} - 1)"  # SQLite reads this number as its digits, which are one too many, and then its sign
    )


class Kept:
    """What was read of one state of a database; what has not changed stays when the rest is read again."""

    def __init__(self, maps: Path | None = None) -> None:
        self.last_map = None if maps is None else LastMap(maps)
        self.version = -1
        self.states: dict[str, str] = {}  # "generation", "noted" -> their counts
        self.columns: dict[object, NDArray[Any]] = {}
        self.masks: dict[object, Mask] = {}

    def valid_for(self, version: int, states: Callable[[], dict[str, str]]) -> None:
        """Forget what may be of another state."""
        if version == self.version:
            return
        found = states()
        other = {name for name in ("generation", "noted") if found.get(name) != self.states.get(name)}
        for key in list(self.columns):
            noted = isinstance(key, tuple) and key[0] == NOTED
            if "generation" in other or key in _CHANGING or (noted and "noted" in other):
                del self.columns[key]
        self.masks.clear()
        self.version, self.states = version, found


class Columns:
    """One state of the database: a context manager, a transaction long."""

    def __init__(self, kept: Kept, connection: Connection) -> None:
        self._kept, self._connection = kept, connection

    def __enter__(self) -> Self:
        self._transaction = self._connection.begin()
        version = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        self._kept.valid_for(version, self._states)
        return self

    def __exit__(self, *_: object) -> None:
        self._transaction.close()

    def _states(self) -> dict[str, str]:
        query = "SELECT name, value FROM properties WHERE name IN ('generation', 'noted')"
        return {str(name): str(value) for name, value in self._connection.exec_driver_sql(query)}

    @property
    def photos(self) -> Ids:
        """Ids of the files that can be found, ascending: all other columns are in this order."""
        return self._of_file("id", np.int64)

    def keeps_vectors(self, model: int) -> bool:
        """Whether ``photos`` and ``vectors`` have been read."""
        return {("file", "id"), ("vectors", model)} <= self._kept.columns.keys()

    def vectors(self, model: int) -> Ids:
        """Ids of their vectors of this model, of their first items; -1 where there is none."""

        def load() -> Ids:
            contents, numbers = self.all_vectors(model)
            files = self.contents_of_files()
            positions, existing = positions_of(files, contents)
            found = np.full(len(files), -1, np.int64)
            found[existing] = numbers[positions[existing]]
            return found

        return self._cached(("vectors", model), load)

    def all_vectors(self, model: int) -> tuple[Ids, Ids]:
        """The contents of all vectors of a model, ascending, and the ids of the vectors; both (n,).

        The vectors of one content are in the order of its items.
        """

        def load() -> NDArray[np.int64]:
            of_model = f"embeddings WHERE model_id = {int(model)} ORDER BY item_id"  # an index has all of it
            items = self._read("item_id", of_model, np.int64)
            numbers = self._read("id", of_model, np.int64)
            known, contents, parts = self._items()
            positions, existing = positions_of(items, known)
            positions = positions[existing]
            order = np.lexsort((parts[positions], contents[positions]))
            return np.stack([contents[positions][order], numbers[existing][order]])

        contents, numbers = self._cached(("all vectors", model), load)
        return contents, numbers

    def contents_of_files(self) -> Ids:
        """The content of each file."""
        return self._of_file("content_id", np.int64)

    def _items(self) -> NDArray[np.int64]:
        """Items, ascending, their contents and which part of these they are, (3, n)."""

        def load() -> NDArray[np.int64]:
            columns = [self._read(column, "items ORDER BY id", np.int64) for column in ("id", "content_id", "part")]
            return np.stack(columns)

        return self._cached("items", load)

    def _of_file(self, expression: str, dtype: Any) -> NDArray[Any]:
        found = "photos WHERE state = 'ok' AND content_id IS NOT NULL ORDER BY id"
        return self._cached(("file", expression), lambda: self._read(expression, found, dtype))

    def _of_content(self, expression: str, dtype: Any) -> NDArray[Any]:
        """A number of the contents, never NULL, for each file."""

        def load() -> NDArray[Any]:
            return self._read(expression, "contents ORDER BY id", dtype)[self._positions()]

        return self._cached(("content", expression), load)

    def _positions(self) -> Ids:
        """Where each file's content stands among the contents in the order of their ids."""

        def load() -> Ids:
            contents = self._read("id", "contents ORDER BY id", np.int64)
            return np.searchsorted(contents, self.contents_of_files()).astype(np.int64, copy=False)

        return self._cached("positions", load)

    def _named(self, column: str, fits: Callable[[str], bool]) -> Mask:
        """Which contents have a text in this column that fits; an empty one, for unknown, is not asked."""
        return self._fitting_texts(("codes", column), column, "contents ORDER BY id", fits)[self._positions()]

    def _noted(self, column: str, fits: Callable[[str], bool], replaces: bool) -> Mask:
        """Which files have a text in this column that fits, in them or beside them.

        What is said beside a file ``replaces`` what it says itself, or is added to it.
        """
        in_file = self._fitting_texts((NOTED, "codes", column), column, "contents ORDER BY id", fits)
        mask: Mask = in_file[self._positions()]
        source = f"sidecars WHERE {column} IS NOT NULL ORDER BY photo_id"
        beside = self._fitting_texts((NOTED, "codes beside", column), column, source, fits)
        positions, existing = self._beside(source, column)
        mask[positions] = beside[existing] | (mask[positions] & (not replaces))
        return mask

    def _fitting_texts(self, key: tuple[str, ...], column: str, source: str, fits: Callable[[str], bool]) -> Mask:
        """Which of these rows have a text that fits."""
        codes, names = self._texts(key, column, source)
        fitting: Mask = np.array([bool(name) and fits(name) for name in names], np.bool_)[codes]
        return fitting

    def _texts(self, key: tuple[str, ...], column: str, source: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """The texts of these rows, as codes, and the texts that the codes stand for; "" where there is none."""
        names_of = (*key, "names")

        def load() -> NDArray[Any]:
            joined = self._connection.exec_driver_sql(
                f"SELECT group_concat(value, {_BETWEEN}) FROM "
                f"(SELECT coalesce(replace({column}, {_BETWEEN}, ' '), '') AS value FROM {source})"
            ).scalar_one()
            texts = joined.split("\x1e") if joined is not None else []
            codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
            self._kept.columns[names_of] = np.array(list(codes), object)
            return np.fromiter(map(codes.__getitem__, texts), np.int32, len(texts))

        codes = self._cached(key, load)
        return codes, self._kept.columns[names_of]

    def _beside(self, source: str, column: str) -> tuple[Ids, Mask]:
        """The positions of the photos of these rows of ``sidecars``, and which rows are of photos that can be found."""

        def load() -> NDArray[np.int64]:
            positions, existing = positions_of(self._read("photo_id", source, np.int64), self.photos)
            return np.stack([positions.astype(np.int64, copy=False), existing])

        positions, existing = self._cached((NOTED, "beside", column), load)
        there = existing.astype(np.bool_)
        return positions[there], there

    def _with_sidecars(
        self, column: str, sql: Callable[[str], str], dtype: Any, unknown: Callable[[NDArray[Any]], Mask]
    ) -> NDArray[Any]:
        """A number of each file: as XMP beside it says, else as its content does, else as Takeout does.

        ``sql`` reads a column as a number.
        """

        def said(name: str) -> tuple[Ids, NDArray[Any]]:
            source = f"sidecars WHERE {name} IS NOT NULL ORDER BY photo_id"
            positions, existing = self._beside(source, name)
            return positions, self._read(sql(name), source, dtype)[existing]

        def load() -> NDArray[Any]:
            values = self._read(sql(column), "contents ORDER BY id", dtype)[self._positions()]
            positions, beside = said(column)
            values[positions] = beside
            if column in _LATER:
                positions, later = said(f"later_{column}")
                missing = unknown(values[positions])
                values[positions[missing]] = later[missing]
            return values

        return self._cached((NOTED, column), load)

    def taken(self) -> Ids:
        """Microseconds since 1970 on the clock of the camera; ``UNKNOWN`` where nobody says when it was."""
        return self._with_sidecars("taken_at", microseconds, np.int64, lambda values: values == UNKNOWN)

    def degrees(self, name: str) -> NDArray[np.float64]:
        """Latitude or longitude, NaN where it is not known; both are known or none."""
        return self._with_sidecars(name, _or_nan, np.float64, np.isnan)

    def stars(self) -> NDArray[np.float64]:
        """NaN where nobody rated."""
        return self._with_sidecars("rating", _or_nan, np.float64, np.isnan)

    def shot(self, name: str) -> NDArray[np.float64]:
        """How the picture was exposed, by the file itself; NaN where it does not say."""
        return self._cached(
            (NOTED, name), lambda: self._read(_or_nan(name), "contents ORDER BY id", np.float64)[self._positions()]
        )

    def _in_folders(self, fits: Callable[[str], bool]) -> Mask:
        """Which files lie in a folder that fits."""
        codes, names = self._folders_of_files()
        fitting: Mask = np.array([fits(folder) for folder in names], np.bool_)[codes]
        return fitting

    def _folders_of_files(self) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """The folder of each file, as codes, and the folders that the codes stand for."""

        def load() -> NDArray[np.int32]:
            rows = self._connection.exec_driver_sql(
                "SELECT path FROM photos WHERE state = 'ok' AND content_id IS NOT NULL ORDER BY id"
            ).fetchall()
            codes: dict[bytes, int] = {}
            separator = os.fsencode(os.sep)
            found = [codes.setdefault(path.rpartition(separator)[0], len(codes)) for (path,) in rows]
            folders = [os.path.dirname(os.fsdecode(folder + separator)) for folder in codes]  # it takes long: once each
            self._kept.columns["names of folders"] = np.array(folders, object)
            return np.array(found, np.int32)

        codes = self._cached("folders", load)
        return codes, self._kept.columns["names of folders"]

    def _having(self, items: Ids) -> Mask:
        """Which files have one of these items."""
        known, contents, _ = self._items()
        positions, existing = positions_of(items, known)
        chosen, files = contents[positions[existing]], self.contents_of_files()
        having = np.zeros(max(int(files.max(initial=0)), int(chosen.max(initial=0))) + 1, np.bool_)
        having[chosen] = True
        found: Mask = having[files]
        return found

    def _read(self, expression: str, source: str, dtype: Any) -> NDArray[Any]:
        """A column of numbers, none of them NULL.

        As one text that NumPy parses: that takes a third of the time of a million rows of Python objects.
        """
        joined = self._connection.exec_driver_sql(
            f"SELECT group_concat(value) FROM (SELECT {expression} AS value FROM {source})"
        ).scalar_one()
        return np.fromstring(joined, dtype, sep=",") if joined is not None else np.zeros(0, dtype)

    def _cached(self, key: object, load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        columns = self._kept.columns
        if key not in columns:
            columns[key] = load()
        return columns[key]


_LATER = ("taken_at", "latitude", "longitude")


def _or_nan(column: str) -> str:
    return f"coalesce({column}, 'nan')"


def positions_of(wanted: Ids, known: Ids) -> tuple[NDArray[np.intp], Mask]:
    """Where these stand among the known ones, which ascend, and which of them are there at all."""
    positions = np.searchsorted(known, wanted)
    existing: Mask = positions < len(known)
    existing[existing] = known[positions[existing]] == wanted[existing]
    return positions, existing
