"""What takes long to make and no test changes is made once, and not once in each process of ``pytest -n``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

FOLDERS: set[Path] = set()  # that this process was given: nothing in them changes


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` filled; the first process that asks for ``name`` makes it, others wait for it."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    made = folder / name
    with FileLock(f"{made}.lock"):
        if not made.exists():
            make(draft := folder / f"{name}.draft")
            draft.rename(made)
    FOLDERS.add(made)
    return made
