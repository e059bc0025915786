"""``mmsearch`` that kills itself at a named point: ``python killed.py POINT COUNT index …``.

POINT is one of ``POINTS``, or "never"; COUNT says at which of its passes.  It is the real command line, and the signal
is SIGKILL, so nothing can be tidied up.  But for one thing: an approximate index is built from ``FEW`` photos on, in
this process, so that this is done, and killed, too; it is tuned with few texts.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import faiss as _stubbed
from killing import Killing

faiss: Any = _stubbed

FEW = 40
POINTS = (
    "before a commit",  # of SQLite
    "after a commit",
    "in a row file",  # of the index, half written
    "in an approximate index",  # as well
    "before an fsync",
    "after an fsync",
    "before a rename",
    "after a rename",
    "while tidying",
)


def main() -> None:
    point, count = sys.argv[1], int(sys.argv[2])
    assert point in (*POINTS, "never"), point
    killing = Killing(point, count)

    from sqlalchemy.engine.default import DefaultDialect

    from mmsearch.indexes import build_process, maintenance, policy, vector_file
    from mmsearch.indexes import index as stored_index
    from mmsearch.library import models

    killing.around(DefaultDialect, "do_commit", "before a commit", "after a commit")
    killing.around(os, "fsync", "before an fsync", "after an fsync")
    killing.around(pathlib.Path, "replace", "before a rename", "after a rename")
    killing.around(pathlib.Path, "unlink", "while tidying")
    written = vector_file.Rows._write

    def half_written(self: Any, opened: Any, ending: str, kept: int) -> None:
        written(self, opened, ending, kept)
        if point == "in a row file":
            opened.flush()
            opened.truncate(opened.tell() - max(1, (len(self) - kept) // 2))
            killing.reached(point)

    vector_file.Rows._write = half_written  # type: ignore[method-assign]
    writer = faiss.PyCallbackIOWriter

    def half_writer(write: Callable[[bytes], int], size: int) -> Any:
        def half(block: bytes) -> int:
            if point == "in an approximate index":
                write(block[: len(block) // 2])
                killing.reached(point)
            return write(block)

        return writer(half, size)

    faiss.PyCallbackIOWriter = half_writer
    for module in (stored_index, policy):
        vars(module)["FEW"] = FEW

    vars(models)["TUNING_STRIDE"] *= 10

    def here(_: object, *given: Any) -> Any:
        return maintenance.best(*given)

    vars(build_process)["Apart"].__call__ = here
    sys.argv = ["mmsearch", *sys.argv[3:]]
    from mmsearch.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
