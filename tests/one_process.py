"""What each process of ``test_distributed.py`` does: ``python one_process.py FOLDER GRAPHS`` for all of WORLD_SIZE.

They are forked where that is possible: what they import takes most of their time.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
from pathlib import Path

import kept_graphs
import torch
from small_models import CAPTIONS, KeptTrainee, small_trainee

from mmsearch.training.common import distributed
from mmsearch.training.common.pairs import read
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive.objective import contrastive
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainer import train


def main(folder: Path) -> None:
    """One step, and a whole run; leaves ``step-SIZE-RANK.pt`` and ``run-SIZE-RANK.pt``."""
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
        gradients = {name: p.grad for name, p in trainee.named_parameters() if p.grad is not None}
        torch.save({"loss": loss.detach(), "gradients": gradients}, folder / f"step-{world.size}-{world.rank}.pt")

        recipe = Recipe(
            epochs=2,
            batch=4,
            micro_batch=2,
            views=2,
            feature_dropout=0,
            region_dropout=0,
            word_dropout=0,
            image_layers=1,
            lr=1e-3,
        )
        trainee = small_trainee(1, 0, kind=KeptTrainee)
        pairs = read(folder / "pairs.tsv", folder / "images")
        outcome = train(trainee, pairs, pairs, recipe, folder / f"out-{world.size}", options=RunOptions(world=world))
        weights = {name: p.detach() for name, p in trainee.named_parameters() if p.requires_grad}
        torch.save({"weights": weights, "loss": outcome.loss}, folder / f"run-{world.size}-{world.rank}.pt")


def process(rank: int, folder: Path, graphs: Path) -> None:
    """One of them; it ends with its stack if it hangs."""
    faulthandler.dump_traceback_later(280, exit=True)
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
    torch.set_num_threads(1)
    with kept_graphs.kept(graphs):
        main(folder)


if __name__ == "__main__":
    multiprocessing.set_start_method("fork" if hasattr(os, "fork") else "spawn")
    ranks = range(int(os.environ["WORLD_SIZE"]))
    given = Path(sys.argv[1]), Path(sys.argv[2])
    started = [multiprocessing.Process(target=process, args=(rank, *given)) for rank in ranks]
    for one in started:
        one.start()
    for one in started:
        one.join()
    sys.exit(any(one.exitcode for one in started))
