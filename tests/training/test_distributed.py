"""Two processes on the CPU against one: the same loss, the same gradients, and the same model from a whole run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from one_process import main

pytestmark = pytest.mark.slow


def _processes(folder: Path, size: int, graphs: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).parent.parent / "one_process.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(graphs)],
        env={
            **os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_two_processes_do_what_one_does(pairs_file: Path, graphs: Path) -> None:
    folder = pairs_file.parent
    main(folder)
    _processes(folder, 2, graphs)
    one = torch.load(folder / "step-1-0.pt")
    alone = torch.load(folder / "run-1-0.pt")
    for rank in range(2):
        two = torch.load(folder / f"step-2-{rank}.pt")
        torch.testing.assert_close(two["loss"], one["loss"])
        still = ("score.bias", "bias")  # a softmax does not see what all its scores have in common
        for name, gradient in one["gradients"].items():
            assert gradient.any() or name.endswith(still), name
            rounding = max(1e-6, 1e-5 * float(gradient.abs().max()))  # sums are made in another order
            torch.testing.assert_close(two["gradients"][name], gradient, rtol=1e-4, atol=rounding)
        run = torch.load(folder / f"run-2-{rank}.pt")
        assert abs(run["loss"] - alone["loss"]) < 1e-4
        for name, weight in alone["weights"].items():
            if name.endswith(still):  # Adam divides by the gradient's size, so rounding shows where there is none
                continue
            assert (run["weights"][name] - weight).abs().mean() < 1e-5, name
    assert (folder / "out-2" / "training.png").exists()
