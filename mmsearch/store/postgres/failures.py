"""What the errors of PostgreSQL mean, and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mmsearch.errors import LibraryError
from mmsearch.store import limit
from mmsearch.store.postgres.address import Address

AWAY = "server-away"  # code of a LibraryError: nobody answers, or no longer
_GAVE_UP = "57014"
_BROKEN = "the connection broke; what was being stored is not stored, all before it is: run the same command again"
# First letters of an SQLSTATE -> code of the LibraryError, and what to do; the longest that fits counts.
_MEANING: dict[str, tuple[str | None, str]] = {
    "08": (AWAY, _BROKEN),
    "57P": (AWAY, _BROKEN),
    "57P03": (AWAY, "the server is starting or shutting down; try again in a moment"),
    "28": ("no-entry", "the server does not let this user in; check user and password (in ~/.pgpass, or PGPASSWORD)"),
    "3D000": ("no-database", "there is no such database; make one with: CREATE DATABASE …"),
    "42501": ("no-rights", "this user may not do that; ask for CREATE and USAGE on the schema, and for its tables"),
    "25006": ("server-read-only", "it may not be written: the server only reads, or this user may only read"),
    "53100": ("disk-full", "the disk of the server is full; free some space there and run the same command again"),
    "53200": (None, "the server is out of memory; try again when it has less to do"),
    "53300": (None, "the server has no connection left; close other programs, or raise its max_connections"),
    "55P03": (None, "another program holds it locked; try again when that is done"),
    _GAVE_UP: (None, "the server gave up because of its time limit; raise statement_timeout"),
    "40": (None, "another program changed the same rows at the same time; run the same command again"),
    "XX001": (None, "the database is damaged; restore a backup of the server"),
    "XX002": (None, "an index of the database is damaged; run REINDEX DATABASE there"),
}
# Of what libpq says when no connection is made.
_TLS = ("SSL", "certificate", "GSSAPI")
_SILENCE = (
    "Connection refused", "timeout", "timed out", "translate host name", "resolve host", "No such file", "unreachable",
    "No route",
)  # fmt: skip


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turns the errors of the server into ones that say what to do."""
    try:
        yield
    except PoolTimeout as error:
        raise LibraryError(
            f"library {address}: all connections of this program are in use; raise postgres_pool", code="pool"
        ) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise _meant(address, error.orig) from None  # the error of SQLAlchemy quotes values
        raise
    except psycopg.Error as error:
        raise _meant(address, error) from None


def over(address: Address) -> LibraryError:
    """What to say where a server took longer than it was given."""
    return LibraryError(
        f"library {address}: the server did not answer in the time that a search waits; raise search_timeout",
        code=limit.OVER,
    )


def _meant(address: Address, error: psycopg.Error) -> LibraryError:
    state = error.sqlstate or ""
    if state == _GAVE_UP and limit.is_set():
        return over(address)
    for length in (5, 3, 2):
        if state[:length] in _MEANING:
            code, advice = _MEANING[state[:length]]
            return LibraryError(f"library {address}: {advice}", code=code)
    text = " ".join(str(error).split())
    if not state and isinstance(error, psycopg.OperationalError):
        return _unconnected(address, text)
    return LibraryError(f"library {address}: {text[:300]}")


def _unconnected(address: Address, text: str) -> LibraryError:
    """Of what libpq says when it has no answer of the server that has a number."""
    for words, state in (
        ("password authentication failed", "28"),
        ("no password supplied", "28"),
        ("no pg_hba.conf entry", "28"),
        ("role ", "28"),
        ("permission denied for database", "42501"),
        ("database ", "3D000"),
        ("too many clients", "53300"),
        ("remaining connection slots", "53300"),
        ("starting up", "57P03"),
        ("shutting down", "57P03"),
    ):
        if words in text and ("FATAL" in text or "password" in words):
            code, advice = _MEANING[state]
            return LibraryError(f"library {address}: {advice}", code=code)
    if any(words in text for words in _TLS):
        advice = f"no secure connection is made; check sslmode and sslrootcert of the address: {_last(text)}"
        return LibraryError(f"library {address}: {advice}", code="no-tls")
    if any(words in text for words in _SILENCE):
        advice = "nobody answers there; check host and port, and that the server runs"
        return LibraryError(f"library {address}: {advice}", code=AWAY)
    if "connection failed" in text or "connection is bad" in text:
        return LibraryError(f"library {address}: no connection is made: {_last(text)}", code=AWAY)
    return LibraryError(f"library {address}: {_BROKEN}", code=AWAY)


def _last(text: str) -> str:
    """What libpq says at last; of several addresses of a host it says as much of each."""
    return text.rpartition(" failed: ")[2][:300]
