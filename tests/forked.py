"""Commands one after another, each in a process that is a copy of this one: what they import is imported once.

``python tests/forked.py RESULTS COMMANDS``: the commands are lists of arguments in JSON.  They have the streams, the
folder and the environment that this program was started with, closed streams too, and end as a program of Python ends.
RESULTS gets their exit codes, and how many bytes standard output and error had after each where these are files.
"""

from __future__ import annotations

import json
import os
import runpy
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


def forked(
    commands: Sequence[Sequence[str | Path]],
    environment: Mapping[str, str],
    folder: Path,
    shell: str = '"$@"',
    stdout: TextIO | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """What each command printed and returned where ``shell`` starts them.

    What goes to ``stdout``, or where the shell sends it, is not among it.
    """
    results, out, err = (folder / f"forked.{name}" for name in ("json", "out", "err"))
    listed = [[str(argument) for argument in command] for command in commands]
    with out.open("wb") as to_out, err.open("wb") as to_err:
        subprocess.run(
            ["sh", "-c", shell, "sh", sys.executable, __file__, str(results), json.dumps(listed)],
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            cwd=folder, stdout=stdout or to_out, stderr=to_err, check=True, timeout=300,
        )  # fmt: skip
    texts, found, before = (out.read_bytes(), err.read_bytes()), [], (0, 0)
    for command, (code, *ends) in zip(listed, json.loads(results.read_text("utf-8")), strict=True):
        parts = [text[start:end] for text, start, end in zip(texts, before, ends, strict=True)]
        printed = [part.decode("utf-8", "surrogateescape") for part in parts]
        found.append(subprocess.CompletedProcess(command, code, *printed))
        before = tuple(ends)
    for file in (results, out, err):
        file.unlink()
    return found


def _import() -> None:
    """What an index run and a query import, but ONNX Runtime, which starts threads: they are not in a copy."""
    import faiss  # noqa: F401
    import PIL.Image  # noqa: F401
    import pydantic  # noqa: F401
    import rich.table  # noqa: F401
    import sqlalchemy  # noqa: F401
    import tokenizers  # noqa: F401

    import mmsearch.cli.app
    import mmsearch.encoders.onnx.encoder
    import mmsearch.library.live_index
    import mmsearch.library.opening
    import mmsearch.search.hubness
    import mmsearch.store.sqlite.store  # noqa: F401


def _open() -> list[int]:
    """Which of the three streams are open."""
    return [number for number in range(3) if _facts(number) is not None]


def _facts(number: int) -> os.stat_result | None:
    try:
        return os.fstat(number)
    except OSError:
        return None


def _size(number: int) -> int:
    facts = _facts(number)
    return facts.st_size if facts is not None and stat.S_ISREG(facts.st_mode) else 0


def main(results: str, commands: list[list[str]]) -> None:
    streams = _open()
    _import()
    assert _open() == streams  # what is imported has taken none of their numbers
    found: list[Any] = []
    for arguments in commands:
        process = os.fork()
        if process == 0:
            sys.argv[1:] = arguments
            runpy.run_module("mmsearch.cli", run_name="__main__", alter_sys=True)
            return
        _, status = os.waitpid(process, 0)
        found.append([os.waitstatus_to_exitcode(status), _size(1), _size(2)])
    Path(results).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
