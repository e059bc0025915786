"""Large JPEGs decoded on a GPU by nvJPEG, through torchvision, and scaled down there; what follows is done as ever.

Of a photo of 12 megapixels a CPU spends more than four fifths of its time on what is done here.  Not run on a GPU yet:
it is tried with one small picture first, and what it cannot decode goes the ordinary way, through Pillow, which also
finds what is wrong with a file.  torchvision 0.29 says that its decoders will go; without them everything goes the
ordinary way.
"""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor
from torch.nn import functional as F

Decode = Callable[[list[Tensor], torch.device], list[Tensor]]  # contents -> (3, height, width) uint8 on the device

logger = logging.getLogger(__name__)
AT_ONCE = 16  # pictures: of 12 megapixels they take 0.6 GB
LARGEST = 50e6  # pixels; more are decoded on the CPU
CLOSE = 3.0  # mean difference of values, 0 to 255, between two decoders: they round and smooth in ways of their own


def by_torchvision(contents: list[Tensor], device: torch.device) -> list[Tensor]:
    """Raises RuntimeError where one cannot be decoded, and AttributeError where torchvision has no such decoder."""
    import torchvision.io  # noqa: F401 - brings the operators; its functions warn that they will go

    if device.type == "cuda":
        made: list[Tensor] = torch.ops.image.decode_jpegs_cuda(contents, 3, device)  # 3 is RGB
        return made
    return [torch.ops.image.decode_jpeg(content, 3, False) for content in contents]


class Jpegs:
    """A ``Loader`` of ``decode.decode``: the picture of a JPEG, as small as its draft; None for what it leaves alone.

    Threads that call it wait while another one decodes what they have brought, up to ``AT_ONCE`` together.
    """

    def __init__(self, device: torch.device, decode: Decode = by_torchvision) -> None:
        self._device, self._decode = device, decode
        self._stream: torch.cuda.Stream | None = None
        self._waiting: queue.SimpleQueue[tuple[bytes, int, Future[Image.Image | None]] | None] = queue.SimpleQueue()
        self._working, self._lock = False, threading.Lock()

    def __call__(self, file: BinaryIO, image: JpegImagePlugin.JpegImageFile) -> Image.Image | None:
        scale: int = image.decoderconfig[0] if image.decoderconfig else 1
        if scale < 2 or not _plain(image) or image.width * image.height * scale**2 > LARGEST:
            return None
        file.seek(0)
        content = file.read()
        if not content.endswith(b"\xff\xd9"):  # cut off, or something follows: Pillow knows what to say of it
            return None
        done: Future[Image.Image | None] = Future()
        with self._lock:
            if not self._working:
                return None
            self._waiting.put((content, scale, done))
        return done.result()

    def problem(self) -> str | None:
        """Why it cannot be used; None when a small picture comes out as it does of Pillow."""
        soft = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(soft).resize((96, 64), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
        try:
            (made,) = self._scaled([(buffer.getvalue(), 1)])
        except Exception as error:  # of CUDA, nvJPEG and torchvision
            return str(error).strip().partition("\n")[0] or type(error).__name__
        wanted = np.asarray(Image.open(buffer), np.int16)
        away = float(np.abs(np.asarray(made, np.int16) - wanted).mean()) if made.size == (96, 64) else 255.0
        return None if away <= CLOSE else f"its pictures are {away:.0f} of 255 away from Pillow's"

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Inside of this, pictures are decoded; outside, all are left alone."""
        thread = threading.Thread(target=self._work, name="mmsearch-jpeg", daemon=True)
        thread.start()
        self._working = True
        try:
            yield
        finally:
            with self._lock:
                self._working = False
                self._waiting.put(None)  # the last one
            thread.join()

    def _work(self) -> None:
        taken = [self._waiting.get()]
        while taken != [None]:
            with contextlib.suppress(queue.Empty):
                while len(taken) < AT_ONCE and taken[-1] is not None:
                    taken.append(self._waiting.get_nowait())
            jobs = [job for job in taken if job is not None]
            for (_, _, done), made in zip(jobs, self._each([job[:2] for job in jobs]), strict=True):
                done.set_result(made)
            taken = [None] if taken[-1] is None else [self._waiting.get()]

    def _each(self, jobs: list[tuple[bytes, int]]) -> list[Image.Image | None]:
        """None for what cannot be decoded; where one of several cannot, nobody says which."""
        try:
            return [*self._scaled(jobs)]
        except Exception as error:  # of CUDA, nvJPEG and torchvision
            logger.debug("%d JPEGs not decoded on the GPU: %s", len(jobs), error)
        return [None] if len(jobs) == 1 else [self._each([job])[0] for job in jobs]

    def _scaled(self, jobs: list[tuple[bytes, int]]) -> list[Image.Image]:
        contents = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content, _ in jobs]
        made = []
        if self._stream is None and self._device.type == "cuda":
            self._stream = torch.cuda.Stream(self._device)  # of its own: not behind what the encoder has to do
        with torch.cuda.stream(self._stream), torch.inference_mode():
            for pixels, (_, scale) in zip(self._decode(contents, self._device), jobs, strict=True):
                small = F.avg_pool2d(pixels[None].float(), scale, ceil_mode=True)[0].round().to(torch.uint8)
                made.append(Image.fromarray(small.permute(1, 2, 0).contiguous().cpu().numpy()))
        return made


def _plain(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether it is what cameras write, in YCbCr: of other kinds, which are rare, each decoder has its own mind."""
    numbers = [layer[0] for layer in image.layer]
    return (
        image.mode == "RGB"
        and numbers in ([1, 2, 3], [0, 1, 2])
        and image.info.get("adobe_transform", 1) == 1
        and not image.info.get("progressive")
    )
