"""FAISS, imported when it is asked for something first: a cold search of few vectors is done before it is."""

from __future__ import annotations

import sys
from typing import Any


class _Faiss:
    """The module.  Its type stubs show the C++ signatures, not those of its Python wrappers, so it has none here."""

    def __getattr__(self, name: str) -> Any:
        import faiss as stubbed

        return getattr(stubbed, name)


faiss: Any = _Faiss()


def is_loaded() -> bool:
    """Whether this process has imported FAISS, or is about to."""
    return "faiss" in sys.modules
