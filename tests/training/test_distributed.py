"""Two processes on the CPU against one: the same loss, the same gradients, and the same model from a whole run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from pathlib import Path
from small_models import CAPTIONS, KeptTrainee, small_trainee
from mmsearch.training import distributed
from mmsearch.training.pairs import read
from mmsearch.training.recipe import Recipe
from mmsearch.training.trainer import contrastive, train

folder = Path(sys.argv[1])
with distributed.joined("cpu") as world:
    trainee = small_trainee(2, 2)
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    ids = trainee.tokenize([*CAPTIONS.values()][:6])
    own = world.share(6)
    images = trainee.image_pool(trainee.image_states(trainee.image_prefix(pixels[own])))
    mask = trainee.token_mask(ids[own])
    states = trainee.text_states(trainee.text_prefix(ids[own], mask), mask)
    texts = trainee.text_pool(states, mask, ids[own])[:, None]
    photos = torch.tensor([0, 1, 2, 3, 1, 4])
    recipe = Recipe(sigmoid=0.3, hard=0.2, hard_count=2)
    found = contrastive(
        distributed.gather(images), distributed.gather(texts), photos, trainee.log_scale.exp(), trainee.bias, recipe
    )
    loss = torch.stack(list(found.values())).sum()
    loss.backward()
    distributed.average_gradients(trainee.parameters())
    gradients = {{name: p.grad for name, p in trainee.named_parameters() if p.grad is not None}}
    torch.save({{"loss": loss.detach(), "gradients": gradients}}, folder / f"step-{{world.size}}-{{world.rank}}.pt")

    recipe = Recipe(
        epochs=2, batch=4, micro_batch=2, views=2, feature_dropout=0, region_dropout=0, word_dropout=0, image_layers=1,
        lr=1e-3,
    )
    trainee = small_trainee(1, 0, kind=KeptTrainee)
    pairs = read(folder / "pairs.tsv", folder / "images")
    outcome = train(trainee, pairs, pairs, recipe, folder / f"out-{{world.size}}", world=world)
    weights = {{name: p.detach() for name, p in trainee.named_parameters() if p.requires_grad}}
    torch.save({{"weights": weights, "loss": outcome.loss}}, folder / f"run-{{world.size}}-{{world.rank}}.pt")
"""


def _processes(folder: Path, size: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent.parent)), "utf-8")
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={
                **os.environ, "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(size)
    ]  # fmt: skip
    for process in started:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0, output


def test_two_processes_do_what_one_does(pairs_file: Path) -> None:
    folder = pairs_file.parent
    _processes(folder, 1)
    _processes(folder, 2)
    one = torch.load(folder / "step-1-0.pt")
    alone = torch.load(folder / "run-1-0.pt")
    for rank in range(2):
        two = torch.load(folder / f"step-2-{rank}.pt")
        torch.testing.assert_close(two["loss"], one["loss"])
        still = ("score.bias", "bias")  # a softmax does not see what all its scores have in common
        for name, gradient in one["gradients"].items():
            assert gradient.any() or name.endswith(still), name
            torch.testing.assert_close(two["gradients"][name], gradient, rtol=1e-4, atol=1e-6)
        run = torch.load(folder / f"run-2-{rank}.pt")
        assert abs(run["loss"] - alone["loss"]) < 1e-4
        for name, weight in alone["weights"].items():
            if name.endswith(still):  # Adam divides by the gradient's size, so rounding shows where there is none
                continue
            assert (run["weights"][name] - weight).abs().mean() < 1e-5, name
    assert (folder / "out-2" / "training.png").exists()
