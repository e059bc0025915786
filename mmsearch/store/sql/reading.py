"""What the parts that all drivers in SQL share are given by the driver."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import Connection


class Reading:
    """A database that can be read."""

    def _reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads; errors of the database say what to do."""
        raise NotImplementedError
