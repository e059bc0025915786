"""The log of a run in JSON Lines, and the packages that training needs."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from mmsearch.errors import TrainingError
from mmsearch.media.filesystem import read_text

NEEDED = ("matplotlib", "safetensors")


def check_packages() -> None:
    """Raises TrainingError when a package of the ``train`` extra is missing: better now than after hours."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise TrainingError(f"training needs {' and '.join(absent)}; run: pip install 'mmsearch[train]'")


class Log:
    """``log.jsonl``: an object a line, an ``event`` in each."""

    def __init__(self, file: Path, position: int = 0) -> None:
        """Goes on at byte ``position``; what stands after it, from a run that was killed, is cut off."""
        self.file = file
        with file.open("ab") as out:
            out.truncate(min(position, out.tell()))

    def add(self, event: str, **facts: Any) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"event": event, **facts}) + "\n")

    def position(self) -> int:
        """Bytes so far, all of them on the disk."""
        with self.file.open("ab") as out:
            os.fsync(out.fileno())
            return out.tell()

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in read_text(self.file).splitlines()]
