"""A library for programs that must not wait: each method runs in a thread."""

from __future__ import annotations

import asyncio
import inspect
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from mmsearch.library.library import Library


class AsyncLibrary:
    """The methods of a ``Library`` to be awaited, with the same arguments, results and errors.

    An async context manager, which closes the library at its end.  At most ``threads`` methods run at once, the others
    wait for their turn; the event loop never does.  ``progress`` is called in such a thread.

        async with AsyncLibrary(mmsearch.open_library("photos.mmsearch")) as library:
            hits = await library.search("a dog", k=10)
    """

    def __init__(self, library: Library, threads: int | None = None) -> None:
        """``threads`` is one a core where it is not given.  The library belongs to this one from now on."""
        self.library = library
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="mmsearch-async")

    def __getattr__(self, name: str) -> Any:
        """A method of the library to be awaited; what is none, such as ``folder``, as it is."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        method = getattr(self.library, name)
        if not inspect.ismethod(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(method, *args, **kwargs))

        return call

    def __dir__(self) -> list[str]:
        own = [name for name in dir(type(self.library)) if not name.startswith("_")]
        return sorted({*super().__dir__(), *own})

    async def close(self) -> None:
        """Wait for what is being done, then let go of the database."""
        await asyncio.to_thread(self._pool.shutdown)
        self.library.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
