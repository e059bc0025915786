"""How ``pytest -n N --dist loadgroup`` shares tests out: long ones first, each to who is free; others by files.

Tests of one file share what the file makes, so they stay together.  Those marked ``slow`` are few and long, and need
little of each other: each goes alone, and before all others, so that nobody waits for a last one at the end.  Those of
an ``xdist_group`` want a server of which a machine runs one, and go to one process.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

TOGETHER = ("milvus",)  # groups
ALONE = "slow"  # the group that such tests are in: xdist appends it to their names


def order(items: list[pytest.Item]) -> None:
    """Sort tests as they are to be shared out: slow ones, then files with many tests."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(ALONE))
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, -tests[item.path]))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Who shares them out."""
    from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            group = nodeid.rpartition("@")[2]
            if group in TOGETHER:
                return str(group)
            return nodeid if group == ALONE else nodeid.split("::", 1)[0]

    config.option.loadscopereorder = False  # in the order above
    return Sharing(config, log)
