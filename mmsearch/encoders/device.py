"""Is there a GPU?  Asked of the driver first, because importing torch takes 3 s."""

from __future__ import annotations

import ctypes
import sys

from mmsearch.encoders.packages import lacking, not_installed
from mmsearch.errors import ModelError


def choose_device(device: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    ``auto`` is cuda where a CUDA device is really there.  Raises ModelError when cuda was asked for and is not.
    """
    if device == "cpu":
        return "cpu"
    if device not in ("auto", "cuda"):
        raise ModelError(f"there is no device {device!r}; choose auto, cpu or cuda")
    problem = _problem()
    if problem is None:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise ModelError(f"no CUDA device can be used: {problem}", code="no-cuda", extra="models")


def all_devices(device: str) -> list[str]:
    """Every device of that kind, as torch calls them: ``cuda:0``, ``cuda:1`` …; ``cpu`` is one."""
    if device != "cuda":
        return [device]
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _problem() -> str | None:
    """Why CUDA cannot be used; None when it can."""
    devices = driver_devices()
    if devices is None:
        return "no NVIDIA driver is installed"
    if devices == 0:
        return "the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES may hide it)"
    if missing := lacking(("torch",)):
        return f"it needs {not_installed(missing)}"
    import torch

    if torch.version.cuda is None:
        return "the installed torch is built for the CPU only, see https://pytorch.org/get-started/locally"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use the driver, which may be too old"
    return None


def driver_devices() -> int | None:
    """How many CUDA devices the driver sees; None without a driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
    except (OSError, AttributeError):
        return None
    return count.value
