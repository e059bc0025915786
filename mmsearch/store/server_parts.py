"""What a store says of the servers that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ServerParts(Protocol):
    """The servers of a library; there are none where it is in a folder."""

    @property
    def engines(self) -> Mapping[str, str]:
        """The names of the engines on servers, by what they have: "metadata", "vectors", "words", "tokens"."""
        ...

    @property
    def pool_sizes(self) -> Mapping[str, int]:
        """How many connections to servers are ``open``, ``used`` of them, and the ``most`` that there may be."""
        ...
