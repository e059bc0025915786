"""Three kinds of attention times four kinds of fusion, each trained with the same small budget.

    python -m benchmarks.rerank_ablation --data DIR --questions DIR [--steps 100] [--work DIR]
    python -m benchmarks.rerank_ablation --untrained

``DIR`` as for ``mmsearch.training.shipped.rerank_embedded``.  Only the objectives of the match are trained.  Reports
for each pair text-to-image R@1 on dev after reranking, how often a true caption is ahead of a changed one, and the
milliseconds of 100 candidates through ONNX Runtime.  With ``--untrained`` only the latter, of random weights, which
cost the same. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.rerank import attention, fusion, graphs
from mmsearch.rerank.model import RerankConfig, RerankModel
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common import checkpoint, memory
from mmsearch.training.reranker import judging
from mmsearch.training.reranker.data import EvalData, TrainData
from mmsearch.training.reranker.preparation import Sources, WrittenQuestions, prepare
from mmsearch.training.reranker.questions import read_daquar
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import configured, match_scores, train
from mmsearch.training.shipped.embedded import read_split

BASE = RerankRecipe(views=4, answer=0.0, caption=0.0, masked_words=0.0, groups=8, batch=256, precision="bf16")
QUERIES, CANDIDATES = 1000, 30
PAIRS = [(kind, mixer) for kind in attention.KINDS for mixer in fusion.KINDS]


def milliseconds(folders: list[Path], config: RerankConfig, rounds: int = 15) -> list[float]:
    """The median time of one text of 12 pieces before 100 photos, through ONNX Runtime, for the graph in each folder.

    All take turns, so that other work on the machine hits them alike.
    """
    import onnxruntime

    rng = np.random.default_rng(0)
    given = {
        "states": rng.standard_normal((1, 12, config.text_width)).astype(np.float32),
        "tokens": rng.standard_normal((100, config.side**2, config.region_dim)).astype(np.float32),
    }
    sessions = [onnxruntime.InferenceSession(f"{f}/match.onnx", providers=["CPUExecutionProvider"]) for f in folders]
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(rounds + 1):  # the first round warms up
        for session, own in zip(sessions, times, strict=True):
            begun = time.perf_counter()
            session.run(None, given)
            if number:
                own.append(1000 * (time.perf_counter() - begun))
    return [round(statistics.median(own), 1) for own in times]


def trained(recipe: RerankRecipe, data: TrainData, answers: int, said: int) -> RerankModel:
    """A model with the last average of its weights; nothing is chosen."""
    config = configured(recipe, data.photos.dim, 7, data.lines.states.states.shape[1], answers, said)
    torch.manual_seed(recipe.seed)
    model = RerankModel(config)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        checkpoint.Run(out).start({"reranker_recipe": asdict(recipe)})
        train(model, data, recipe, out, lambda _: {"merit": 0.0}, {})
    return model


def one(
    recipe: RerankRecipe, data: TrainData, judged: EvalData, said: int, answers: int, graph: Path
) -> dict[str, Any]:
    """Trains one pair, writes its graph into the folder ``graph``, and gives its row of the table."""
    some = np.linspace(0, len(judged.captions) - 1, min(QUERIES, len(judged.captions))).astype(np.int64)
    begun = time.perf_counter()
    model = trained(recipe, data, answers, said)
    seconds = time.perf_counter() - begun
    shown, first = judged.candidates[some, :CANDIDATES], judged.first[some, :CANDIDATES]
    match = match_scores(model, judged.tokens, judged.lines, judged.captions[some], shown)
    right = shown == judged.owner[some, None]
    recalls = {w: judging.recall(first, match, right, "weighted", w)[0] for w in judging.WEIGHTS}
    best = max(recalls, key=lambda weight: recalls[weight])
    graphs.write_match(model, graph)
    return {
        "attention": recipe.attention, "fusion": recipe.fusion, "R@1": recalls[best], "first_stage": recalls[0.0],
        "match_alone": judging.recall(first, match, right, "match", 1.0)[0], "weight": best,
        "changed": judging.changed_accuracy(model, judged, some)["all"],
        "training_seconds": round(seconds),
        "parameters": sum(p.numel() for part in (model.blocks, model.fusion) for p in part.parameters()),
    }  # fmt: skip


def untrained() -> None:
    """The milliseconds of all pairs in the sizes that ship, whose weights nobody trained."""
    shipped = RerankConfig(**json.loads((SHIPPED / "reranker.json").read_text("utf-8"))["recipe"]["model"])
    with tempfile.TemporaryDirectory() as place:
        folders = []
        for kind, mixer in PAIRS:
            folders.append(Path(place) / f"{kind}-{mixer}")
            folders[-1].mkdir()
            graphs.write_match(RerankModel(replace(shipped, attention=kind, fusion=mixer)), folders[-1])
        taken = milliseconds(folders, shipped)
    report("rerank_ablation", {"milliseconds": {"/".join(p): ms for p, ms in zip(PAIRS, taken, strict=True)}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--untrained", action="store_true", help="only milliseconds")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("scratch/ablation"), help="what was encoded is kept here")
    parser.add_argument("--only", nargs="+", help="pairs such as co-attention/tensor; all otherwise")
    given = parser.parse_args()
    if given.untrained:
        untrained()
        return
    if given.data is None or given.questions is None:
        parser.error("--data and --questions are needed")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    memory.keep_freed()
    recipe = replace(BASE, steps=given.steps, dev_every=given.steps)
    kept = given.work / "data.pkl"
    if not kept.exists():
        shutil.rmtree(given.work, ignore_errors=True)
        given.work.mkdir(parents=True)
        asked = WrittenQuestions(given.questions / "images", read_daquar(given.questions))
        words = WordEncoder(EMBEDDED, SHIPPED / "words.onnx")
        photos, dev = read_split(given.data, "train"), read_split(given.data, "dev")
        made = prepare(OnnxEncoder(EMBEDDED), words, Sources(photos, dev, asked), recipe, given.work)
        kept.write_bytes(pickle.dumps(made, protocol=5))
    data, judged, (answers, said) = pickle.loads(kept.read_bytes())
    rows, folders = [], []
    for kind, mixer in PAIRS if given.only is None else [pair for pair in PAIRS if "/".join(pair) in given.only]:
        graph = given.work / f"{kind}-{mixer}-{given.steps}"
        done = graph / "row.json"  # a run that was killed goes on with the pairs that are missing
        if not done.exists():
            graph.mkdir(exist_ok=True)
            chosen = replace(recipe, attention=kind, fusion=mixer)
            done.write_text(json.dumps(one(chosen, data, judged, len(said), len(answers), graph)))
        rows.append(json.loads(done.read_text()))
        folders.append(graph)
        logging.info("%s", rows[-1])
    width = data.lines.states.states.shape[1]
    config = configured(recipe, data.photos.dim, 7, width, len(answers), len(said))
    for row, taken in zip(rows, milliseconds(folders, config), strict=True):
        row["milliseconds"] = taken
    facts = {"queries": QUERIES, "candidates": CANDIDATES, "recipe": asdict(recipe), "torch": torch.__version__}
    report("rerank_ablation", {"rows": rows, **facts})


if __name__ == "__main__":
    main()
