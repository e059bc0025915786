"""Connecting to a cluster that is not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mmsearch.cluster.indexing import index
from mmsearch.cluster.session import connected
from mmsearch.errors import ClusterError, SourceError
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray says while it is imported


def test_an_address_where_nobody_is() -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for written in (address, f"ray://{address}"):
            with (
                pytest.raises(ClusterError, match=f"the Ray cluster at {written} cannot be reached: "),
                connected(written),
            ):
                pass


@pytest.mark.parametrize("address", ["head", "http://head:8265", "ray://head", "head:99999x"])
def test_what_is_no_address(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ClusterError, match=r"is no address of a Ray cluster: ray://host:10001, "), connected(address):
        pass


def test_missing_folders_are_told_before_ray_is_asked(tmp_path: Path) -> None:
    with open_library(tmp_path / "library") as library, pytest.raises(SourceError, match="no such file or folder"):
        index(library, tmp_path / "nowhere", address="no address")
