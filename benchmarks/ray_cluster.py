"""A Ray of several nodes on this machine, each a process with cores of its own that can be killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

# Before ray is imported: nothing is told to its makers, and workers get their share of a busy machine.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")


@contextlib.contextmanager
def cluster(nodes: int = 2) -> Iterator[Any]:
    """Connected to it meanwhile; node 0 is the one of this process, and holds no worker."""
    import logging

    import ray
    from ray.cluster_utils import Cluster

    alone = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}  # nobody looks at it
    own = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 * 2**20, **alone})
    try:
        for _ in range(nodes):
            add_node(own)
        ray.init(address=own.address, log_to_driver=False, logging_level=logging.ERROR)
        yield own
    finally:
        ray.shutdown()
        own.shutdown()


def add_node(own: Any) -> Any:
    """One more node, with room for one worker."""
    node = own.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    own.wait_for_nodes()
    return node


def kill(own: Any, node: Any) -> None:
    """SIGKILL of a node's raylet; its workers end with it."""
    own.remove_node(node, allow_graceful=False)
