"""Whether there is a GPU is found out without importing torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmsearch.encoders.device import choose_device, driver_devices
from mmsearch.errors import ModelError


def test_cpu_is_the_cpu() -> None:
    assert choose_device("cpu") == "cpu"


def test_auto_is_what_torch_finds() -> None:
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no CUDA device can be used: .+"):
        choose_device("cuda")


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no device 'tpu'; choose auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.skipif(bool(driver_devices()), reason="there is a GPU")
def test_torch_is_not_imported_without_a_driver() -> None:
    code = (
        "import sys; from mmsearch.encoders.device import choose_device; choose_device('auto');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
