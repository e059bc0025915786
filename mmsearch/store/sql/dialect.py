"""The few expressions that engines write differently, and the column type of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, LargeBinary, String, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

HEAD = 4  # bytes before the numbers of a vector as PostgreSQL sends it: their count, and zeros


class can_be_found(FunctionElement[bool]):  # reads as the function that it is in SQL
    """Whether a photo is in the state "ok"."""

    type = Boolean()
    inherit_cache = True


class least(FunctionElement[bytes]):
    """The least of some bytes."""

    type = LargeBinary()
    inherit_cache = True


class json_pairs(FunctionElement[str]):
    """Two columns of some rows as a list of pairs, in JSON; an empty one where there are no rows."""

    type = String()
    inherit_cache = True


class json_list(FunctionElement[str]):
    """A column of some rows as a list, in JSON; an empty one where there are no rows."""

    type = String()
    inherit_cache = True


class json_object(FunctionElement[str]):
    """Two columns of some rows as names and values, in JSON; none where there are no rows."""

    type = String()
    inherit_cache = True


@compiles(can_be_found, "sqlite")
def _found_sqlite(element: Any, compiler: Any, **_: Any) -> str:
    return "+photos.state = 'ok'"  # the plus keeps SQLite from reading all photos in this state each time


@compiles(can_be_found, "postgresql")
def _found_postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return "photos.state = 'ok'"


@compiles(least, "sqlite")
def _least_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    return f"min({compiler.process(element.clauses, **given)})"


@compiles(least, "postgresql")
def _least_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    value = compiler.process(element.clauses, **given)
    return f"(array_agg({value} ORDER BY {value}))[1]"  # only the eighteenth version has a min() of bytes


@compiles(json_pairs, "sqlite")
def _pairs_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **given)}))"


@compiles(json_pairs, "postgresql")
def _pairs_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    return f"coalesce(json_agg(json_build_array({compiler.process(element.clauses, **given)})), '[]')::text"


@compiles(json_list, "sqlite")
def _list_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **given)})"


@compiles(json_list, "postgresql")
def _list_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    return f"coalesce(json_agg({compiler.process(element.clauses, **given)}), '[]')::text"


@compiles(json_object, "sqlite")
def _object_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    return f"json_group_object({compiler.process(element.clauses, **given)})"


@compiles(json_object, "postgresql")
def _object_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    return f"coalesce(json_object_agg({compiler.process(element.clauses, **given)}), '{{}}')::text"


class HalfVector(UserDefinedType[bytes]):
    """pgvector's ``halfvec``, as the bytes that SQLite keeps: little-endian float16; NULL is no bytes."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "halfvec"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        import numpy as np
        from pgvector import HalfVector as Sent

        return lambda value: Sent(np.frombuffer(value, "<f2")) if value else None

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[bytes]:
        return func.halfvec_send(column, type_=self)  # its own bytes: text would take ten times as long to read

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], bytes]:
        import numpy as np

        def read(value: Any) -> bytes:
            return b"" if value is None else np.frombuffer(value, ">f2", offset=HEAD).astype("<f2").tobytes()

        return read


Float16Vector = LargeBinary().with_variant(HalfVector(), "postgresql")
