"""What the client of Milvus makes of errors; the server itself is in the suites that have it started."""

from __future__ import annotations

from typing import Any

import pytest

from mmsearch.errors import LibraryError
from mmsearch.store.milvus_client import Milvus


def test_a_server_that_is_lost_in_the_middle_of_an_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """pymilvus turns most errors of gRPC into its own, but not each that comes while an answer is waited for."""
    grpc = pytest.importorskip("grpc")

    class Lost(grpc.RpcError):  # type: ignore[name-defined,misc]
        def __str__(self) -> str:
            return "<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.DEADLINE_EXCEEDED>"

    def connected(self: Milvus, *_: Any) -> None:
        return None

    monkeypatch.setattr(Milvus, "_connection", connected)
    milvus = Milvus("http://127.0.0.1:1")
    with pytest.raises(LibraryError, match="nobody answers there; check host and port") as told, milvus.asked():
        raise Lost
    assert told.value.code == "vectors-away"
