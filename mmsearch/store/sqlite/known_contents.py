"""Contents that have a vector, by their hash: asked for one by one, because a library may have millions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping


class Contents(MutableMapping[bytes, int]):
    """Hash -> id, of what is stored and of what was set here since.  Safe to ask from several threads."""

    def __init__(self, stored: Callable[[bytes], int | None], every: Callable[[], dict[bytes, int]]) -> None:
        self._stored, self._every = stored, every
        self._new: dict[bytes, int] = {}

    def __getitem__(self, content_hash: bytes) -> int:
        number = self._new.get(content_hash)
        if number is None:
            number = self._stored(content_hash)
        if number is None:
            raise KeyError(content_hash)
        return number

    def __setitem__(self, content_hash: bytes, number: int) -> None:
        self._new[content_hash] = number

    def __delitem__(self, content_hash: bytes) -> None:
        raise TypeError("contents are forgotten by the store")

    def __iter__(self) -> Iterator[bytes]:
        return iter({**self._every(), **self._new})

    def __len__(self) -> int:
        return len({**self._every(), **self._new})
