"""Pictures that clients send to search by: counted while they are read, decoded one at a time in a process apart."""

from __future__ import annotations

import io

from starlette.datastructures import UploadFile
from starlette.requests import Request

from mmsearch.library.library import Library
from mmsearch.media.worker_pool import Decoders
from mmsearch.query.model import Vector
from mmsearch.server.errors import Refused
from mmsearch.server.options import ServerOptions
from mmsearch.server.pool import Workers

AT_ONCE = 4  # that are held in memory; the next one is told to come back
SECONDS = 30.0  # for one picture
MEMORY = 2 * 2**30  # bytes of the process that decodes


class Uploads:
    """Reads and encodes pictures of clients."""

    def __init__(self, library: Library, options: ServerOptions) -> None:
        self._library, self._options = library, options
        self._workers = Workers("upload", 1, AT_ONCE)
        self._decoders = Decoders(1, seconds=SECONDS, memory=MEMORY)
        self._reading = 0

    async def vector(self, request: Request) -> Vector:
        """The vector of the picture in a body, or in the first file of a form.  Raises Refused, ImageError."""
        if self._reading >= AT_ONCE:
            raise Refused(503, "busy", "too many pictures are sent at once; try again", {"Retry-After": "2"})
        self._reading += 1
        try:
            content = await self._content(request)
            return await self._workers.run(self._encoded, content)
        finally:
            self._reading -= 1

    async def _content(self, request: Request) -> bytes:
        """What was sent.  Raises Refused where it is nothing, or too much: ``Gate`` counts it as it comes."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._options.upload_bytes:
            most = self._options.upload_bytes
            raise Refused(
                413, "too-large", f"the picture has more than {most:,} bytes", {"Connection": "close"}, most=most
            )
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form(max_files=1, max_fields=20) as form:
                files = [value for value in form.values() if isinstance(value, UploadFile)]
                content = await files[0].read() if files else b""
        else:
            content = await request.body()
        if not content:
            raise Refused(422, "no-picture", "no picture was sent; send its file as the body, or in a form")
        return content

    def _encoded(self, content: bytes) -> Vector:
        library = self._library
        encoder = library.encoder()
        most = min(self._options.upload_megapixels, library.settings.max_megapixels)
        preprocess = encoder.card.preprocess
        decoded = self._decoders.decode(io.BytesIO(content), "the picture", preprocess, most)
        return Vector(encoder.encode_images(decoded.pixels[None])[0])

    def close(self) -> None:
        """End the process that decodes."""
        self._workers.close()
        self._decoders.__exit__()
