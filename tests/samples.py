"""Where the tests' photos come from, and the type of the ``mmsearch`` fixture."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import skimage

SAMPLES = Path(skimage.__file__).parent / "data"  # photos that come with scikit-image
CLI = Callable[..., "subprocess.CompletedProcess[str]"]
