"""Library files as earlier versions made them, for tests of what becomes of them."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from mmsearch.store.sqlite import schema


def write_schema(file: Path, revision: str) -> Path:
    """An empty ``library.sqlite`` of an earlier schema, such as "002", made by that version's own migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return file
