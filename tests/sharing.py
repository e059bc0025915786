"""How ``pytest -n N --dist loadgroup`` shares tests out: files with slow tests first, then large ones, to who is free.

Tests of one file share what the file makes, so they stay together.  Those of Milvus go to one process, whatever their
file: a machine runs one such server.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

TOGETHER = ("milvus",)  # in the names of tests


def order(items: list[pytest.Item]) -> None:
    """Sort tests as they are to be shared out: slow ones, then files with many tests."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, -tests[item.path]))


def scope(nodeid: str) -> str:
    """What a test goes with."""
    return next((name for name in TOGETHER if name in nodeid), nodeid.split("::", 1)[0])


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Who shares them out."""
    from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    config.option.loadscopereorder = False  # in the order above
    return Sharing(config, log)
