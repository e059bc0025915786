"""The connection to Ray: to a cluster by its address, or one that is started on this machine and stopped again."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from mmsearch.errors import ClusterError


@contextlib.contextmanager
def connected(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """Ray, at an address such as ``ray://head:10001``, ``head:6379`` or ``auto``; without one, on this machine.

    ``cpus`` limits the cores of one that is started here.  A connection that there was before stays.

    Raises ClusterError.
    """
    # Ray tells its makers of each use, unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # on stderr; Ray's own files have all
    if address is None:  # Ray gives its workers what others leave: beside any other program that is next to nothing
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
        from ray.data import DataContext
    except ImportError as error:
        raise ClusterError(
            f"encoding on a cluster needs the package ray ({error})", code="no-packages", extra="cluster"
        ) from error
    data = DataContext.get_current()
    data.enable_progress_bars = data.enable_operator_progress_bars = data.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it warns of hanging while workers start
    if ray.is_initialized():
        yield
        return
    if address and address != "auto":
        _check_answers(address)
    given: dict[str, Any] = {"address": address} if address else {"num_cpus": cpus, "include_dashboard": False}
    given["address"] = address or "local"
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **given)
    except Exception as error:  # whatever it is, there is no cluster
        where = f"the Ray cluster at {address} cannot be reached" if address else "Ray does not start on this machine"
        raise ClusterError(f"{where}: {_first_line(error)}", code="no-cluster") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises ClusterError where nobody listens: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise ClusterError(
            f"{address!r} is no address of a Ray cluster: ray://host:10001, host:6379 or auto is wanted",
            code="no-cluster",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"the Ray cluster at {address} cannot be reached: {error}", code="no-cluster") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
