"""The log of a run in JSON Lines, and the packages that training needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mmsearch.encoders.packages import HEAVY, lacking, not_installed
from mmsearch.errors import TrainingError
from mmsearch.media.filesystem import read_text

NEEDED = ("matplotlib", "safetensors", *HEAVY)


def check_packages() -> None:
    """Raises TrainingError when a package that training needs is missing: better now than after hours."""
    if missing := lacking(NEEDED):
        raise TrainingError(f"training needs {not_installed(missing)}", code="no-packages", extra="train")


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
