"""A decoder that does what the name of the file says, and decodes all others: for processes of ``isolated``."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from typing import BinaryIO

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode
from mmsearch.media.memory_budget import Budget
from mmsearch.types import Decoded, Preprocess


class Greedy(io.BytesIO):
    """A file that takes more memory than there is when it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(2**33)


HEAVY = ("alembic", "faiss", "onnxruntime", "sqlalchemy", "torch", "typer")


def faulty(file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float, in_flight: Budget) -> Decoded:
    name = os.path.basename(path)
    if name.startswith("hang"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)  # only a kill ends it
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("eat"):
        return [bytearray(2**28) for _ in range(2**10)]  # type: ignore[return-value]
    if name.startswith("choke"):
        file = Greedy()
    if name.startswith("leave"):
        sys.exit(3)
    if name.startswith("bug"):
        raise KeyError("bug")
    if name.startswith("pid"):
        raise ImageError(path, str(os.getpid()))
    if name.startswith("heavy"):
        raise ImageError(path, ", ".join(module for module in HEAVY if module in sys.modules))
    if name.startswith("noise"):
        for standard in (1, 2):
            os.write(standard, b"noise\n" * 20_000)
    return decode(file, path, preprocess, max_megapixels, in_flight)
