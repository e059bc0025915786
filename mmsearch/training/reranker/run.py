"""From captioned photos and questions to a reranker's folder: what ``mmsearch train-reranker`` does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mmsearch.encoders.protocol import Encoder
from mmsearch.media.filesystem import atomic_write
from mmsearch.rerank import graphs
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.model import RerankModel
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common import checkpoint, report, unchanged
from mmsearch.training.common.progress import TrainProgress
from mmsearch.training.common.session import RunOptions
from mmsearch.training.reranker import answers as answer_rules
from mmsearch.training.reranker.data import RegionTrainee
from mmsearch.training.reranker.judging import baseline, examine, few
from mmsearch.training.reranker.preparation import Sources, prepare, question_answers
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import RerankOutcome, configured, train


def run(
    encoder: Encoder, words: WordEncoder, sources: Sources, recipe: RerankRecipe, out: Path, name: str,
    options: RunOptions | None = None,
) -> tuple[RerankOutcome, dict[str, Any]]:  # fmt: skip
    """Train, and write the folder: the graphs and ``reranker.json``.  The outcome and the figures on dev.

    ``name`` is what the reranker is called in its card.  Raises TrainingError, also where what a resumed run was
    started with changed (``common/unchanged.py``), SourceError, ModelError.
    """
    options = options or RunOptions()
    recipe.check()
    report.check_packages()
    RegionTrainee(encoder)  # has region tokens
    files = checkpoint.Run(out)
    inputs = stands_on(encoder, sources)
    if not options.resume:
        files.start({**inputs, "reranker_recipe": asdict(recipe), "origin": options.origin})
    else:
        unchanged.check(out, files.unfinished(), {**inputs, "reranker_recipe": asdict(recipe)})
    files.cache.mkdir(exist_ok=True)
    data, judged, (answers, said) = prepare(encoder, words, sources, recipe, files.cache, options.progress)
    config = configured(
        recipe, data.photos.dim, round(data.photos.regions**0.5), data.lines.states.states.shape[1],
        len(answers), len(said),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = RerankModel(config)
    outcome = train(model, data, recipe, out, few(judged, recipe, answers), inputs, options)
    if options.progress is not None:
        options.progress(TrainProgress("writing", 0, 1))
    figures = examine(model.cpu(), judged, answers)
    learned = question_answers(sources, recipe.seed)
    if learned and judged.asked:
        figures["answers"] |= baseline(answer_rules.Prior.fit(learned), judged)
    save(model, out, words, name, region_key(encoder.card), figures, (answers, said), recipe)
    files.finish(options.keep_cache)
    return outcome, figures


def stands_on(encoder: Encoder, sources: Sources) -> dict[str, Any]:
    """What a run must have again when it is resumed, by the names of ``unchanged.NAMES``."""
    pairs, dev, written = sources.pairs, sources.dev, sources.written
    rows = written.rows if written is not None else []
    names = sorted({name for name, _, _ in rows})
    return {
        "base": encoder.card.fingerprint,
        "regions": region_key(encoder.card),
        "photos": unchanged.photos(pairs.folder, pairs.names),
        "captions": unchanged.texts((n, text) for n, own in zip(pairs.names, pairs.texts, strict=True) for text in own),
        "dev_photos": unchanged.photos(dev.folder, dev.names),
        "dev_captions": unchanged.texts((n, text) for n, own in zip(dev.names, dev.texts, strict=True) for text in own),
        "question_photos": unchanged.photos(written.folder if written is not None else Path(), names),
        "questions": unchanged.texts((name, question) for name, question, _ in rows),
        "answers": unchanged.texts((answer,) for _, _, answer in rows),
    }


def save(
    model: RerankModel, folder: Path, words: WordEncoder, name: str, regions: str, figures: dict[str, Any],
    vocabularies: tuple[Sequence[str], Sequence[str]], recipe: RerankRecipe,
) -> None:  # fmt: skip
    """The reranker's folder; the rule is the one that was best on dev.  ``vocabularies``: of answers and captions."""
    answers, said = vocabularies
    fastpath = torch.backends.mha.get_fastpath_enabled()
    try:
        graphs.write(model, folder)
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    if words.upper != folder / "words.onnx":
        shutil.copyfile(words.upper, folder / "words.onnx")
    best = figures["rule"]
    card = RerankCard.of(
        folder, name=name, regions=regions, side=model.config.side, region_dim=model.config.region_dim,
        rule=best["rule"], weight=best["weight"], helps=bool(best["helps"]), answers=tuple(answers),
        caption_words=tuple(said), yes=figures["yes"]["fit"],
        recipe={"recipe": asdict(recipe), "model": asdict(model.config), "dev": figures},
    )  # fmt: skip
    atomic_write(folder / "reranker.json", card.to_json().encode())
