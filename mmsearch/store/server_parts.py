"""What a store says of the servers that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mmsearch.media.thumbnail_cache import Shared


class ServerParts(Protocol):
    """The servers of a library; there are none where it is in a folder."""

    @property
    def engines(self) -> Mapping[str, str]:
        """The names of the engines on servers, by what they have: "metadata", "vectors", "words", "tokens"."""
        ...

    @property
    def thumbnails(self) -> Shared | None:
        """Where its machines keep small pictures together; None where each has its own."""
        ...

    @property
    def pool_sizes(self) -> Mapping[str, int]:
        """How many connections to servers are ``open``, ``used`` of them, and the ``most`` that there may be."""
        ...
