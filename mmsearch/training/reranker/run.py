"""From captioned photos and questions to a reranker's folder: what ``mmsearch train-reranker`` does."""

from __future__ import annotations

import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.protocol import Encoder
from mmsearch.evaluation.caption_metrics import tokens as caption_tokens
from mmsearch.language import hard_negatives
from mmsearch.language.questions import parse
from mmsearch.media.filesystem import atomic_write
from mmsearch.rerank import graphs
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.fusion_rules import RULES, combine
from mmsearch.rerank.model import RerankModel
from mmsearch.rerank.vocabulary import END, LONGEST, SPECIAL, START, UNKNOWN
from mmsearch.rerank.words import WordEncoder
from mmsearch.search import hubness
from mmsearch.training.common import checkpoint, report, unchanged
from mmsearch.training.common.pairs import MARGIN, Pairs, Pictures
from mmsearch.training.contrastive import prefix_cache
from mmsearch.training.contrastive.trainer import TrainProgress
from mmsearch.training.reranker import answers as answer_rules
from mmsearch.training.reranker import questions as question_rules
from mmsearch.training.reranker.data import Lines, Photos, RegionTrainee, encode_lines, hide
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import Material, RerankOutcome, configured, match_scores, train

log = logging.getLogger(__name__)

BANK = 3000  # training captions that make a photo's background
ALL = 100  # candidates of the last look at dev
WEIGHTS = (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.06, 0.1)  # tried on dev
ENOUGH = 50  # yes/no questions, to fit how yes is told from no
SHARE = 0.1  # of the photos with given questions are to judge by
CAPTION_QUESTIONS, GIVEN_QUESTIONS = 0, 1  # sources of questions

Reporter = Callable[[TrainProgress], None]
Teller = Callable[[str], Callable[[int, int], None] | None]  # of a phase


@dataclass(frozen=True)
class Given:
    """Questions that somebody wrote, about photos of their own."""

    folder: Path
    rows: list[tuple[str, str, str]]  # file name, question, answer


@dataclass(frozen=True)
class Dev:
    """What a model is judged by."""

    tokens: Tensor  # (photos, regions, dim)
    lines: Lines
    captions: NDArray[np.int64]  # (q,): rows of lines
    owner: NDArray[np.int64]  # (q,): photo of each
    first: NDArray[np.float32]  # (q, k) first-stage scores of the candidates, best first
    candidates: NDArray[np.int64]  # (q, k) photos
    changed: NDArray[np.int64]  # (q,): row of lines of a false version, -1 where there is none
    kinds: list[str]  # of the false version
    near: NDArray[np.float32]  # (q, 2): first-stage scores of the own photo with the caption and with its false version
    questions: NDArray[np.int64]  # (a,): rows of lines
    question_photo: NDArray[np.int64]
    answers: list[str]
    asked: list[str]
    sources: NDArray[np.int64]
    things: NDArray[np.int64]  # (a,): row of lines of what a yes/no question asks about, -1 of other questions


def run(
    encoder: Encoder, words: WordEncoder, pairs: Pairs, dev: Pairs, given: Given | None, recipe: RerankRecipe,
    out: Path, name: str, origin: dict[str, Any], progress: Reporter | None = None, *, device: str = "cpu",
    resume: bool = False, keep_cache: bool = False,
) -> tuple[RerankOutcome, dict[str, Any]]:  # fmt: skip
    """Train, and write the folder: the graphs and ``reranker.json``.  The outcome and the figures on dev.

    ``origin`` is kept for whoever resumes the run.  Raises TrainingError, also where what a resumed run was started
    with changed (``common/unchanged.py``), SourceError, ModelError.
    """
    recipe.check()
    report.check_packages()
    RegionTrainee(encoder)  # has region tokens
    files = checkpoint.Run(out)
    facts = stands_on(encoder, pairs, dev, given)
    if not resume:
        files.start({**facts, "reranker_recipe": asdict(recipe), "origin": origin})
    else:
        unchanged.check(out, files.unfinished(), {**facts, "reranker_recipe": asdict(recipe)})
    files.cache.mkdir(exist_ok=True)
    made = prepare(encoder, words, pairs, dev, given, recipe, files.cache, progress)
    material, judged, (answers, said) = made
    config = configured(
        recipe, material.photos.dim, round(material.photos.regions**0.5), material.lines.states.states.shape[1],
        len(answers), len(said),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = RerankModel(config)
    look = few(judged, recipe, answers)
    outcome = train(model, material, recipe, out, look, facts, progress, device=device, resume=resume)
    if progress is not None:
        progress(TrainProgress("writing", 0, 1))
    figures = examine(model.cpu(), judged, answers)
    learned = _asked(pairs, given, recipe.seed)
    if learned and judged.asked:
        figures["answers"] |= baseline(answer_rules.Prior.fit(learned), judged)
    save(model, out, words, name, region_key(encoder.card), figures, answers, said, recipe)
    files.finish(keep_cache)
    return outcome, figures


def stands_on(encoder: Encoder, pairs: Pairs, dev: Pairs, given: Given | None) -> dict[str, Any]:
    """What a run must have again when it is resumed, by the names of ``unchanged.NAMES``."""
    rows = given.rows if given is not None else []
    names = sorted({name for name, _, _ in rows})
    return {
        "base": encoder.card.fingerprint,
        "regions": region_key(encoder.card),
        "photos": unchanged.photos(pairs.folder, pairs.names),
        "captions": unchanged.texts((n, text) for n, own in zip(pairs.names, pairs.texts, strict=True) for text in own),
        "dev_photos": unchanged.photos(dev.folder, dev.names),
        "dev_captions": unchanged.texts((n, text) for n, own in zip(dev.names, dev.texts, strict=True) for text in own),
        "question_photos": unchanged.photos(given.folder if given is not None else Path(), names),
        "questions": unchanged.texts((name, question) for name, question, _ in rows),
        "answers": unchanged.texts((answer,) for _, _, answer in rows),
    }


def save(
    model: RerankModel, folder: Path, words: WordEncoder, name: str, regions: str, figures: dict[str, Any],
    answers: Sequence[str], said: Sequence[str], recipe: RerankRecipe,
) -> None:  # fmt: skip
    """The reranker's folder; the rule is the one that was best on dev."""
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


# -- before training ----------------------------------------------------------------------------------------------


def prepare(
    encoder: Encoder, words: WordEncoder, pairs: Pairs, dev: Pairs, given: Given | None, recipe: RerankRecipe,
    cache: Path, progress: Reporter | None,
) -> tuple[Material, Dev, tuple[list[str], list[str]]]:  # fmt: skip
    """All that is learned from and judged by, and the vocabularies of answers and of captions."""

    def teller(phase: str) -> Callable[[int, int], None] | None:
        if progress is None:
            return None
        report_to = progress
        return lambda done, total: report_to(TrainProgress(phase, done, total))

    pairs, train_photos = _photos(encoder, pairs, recipe, cache / "train.npy", recipe.views, teller)
    dev, dev_photos = _photos(encoder, dev, recipe, cache / "dev.npy", 1, teller)
    given_train, given_dev, given_photos = _given(encoder, given, recipe, cache, teller)

    texts = [text for own in pairs.texts for text in own]
    owner = np.repeat(np.arange(len(pairs)), [len(own) for own in pairs.texts])
    false = hard_negatives.build(texts, recipe.seed)
    asked = [(one.photo, one.question, one.answer) for one in question_rules.derive(pairs.texts, recipe.seed)]
    offset = len(pairs)
    rows = {file: offset + row for row, file in enumerate(given_photos[1])}
    asked_given = [(rows[file], question, answer) for file, question, answer in given_train if file in rows]
    parts = (part for _, _, answer in [*asked, *asked_given] for part in _parts(answer))
    answers = answer_rules.vocabulary(parts, recipe.answers)
    place = {answer: number for number, answer in enumerate(answers)}
    questions: list[tuple[int, str, list[int], int]] = []
    for source, several in ((CAPTION_QUESTIONS, asked), (GIVEN_QUESTIONS, asked_given)):
        for photo, question, answer in several:
            right = [place[one] for one in _parts(answer) if one in place]
            if right:
                questions.append((photo, question, right, source))
    said, sentences = _sayings(texts, recipe.caption_words)

    ids = [row[: int((row != 0).sum())] for row in words.tokenize(texts)]
    hidden_ids, hidden = hide(ids, recipe.masked_share, words.mask_id, np.random.default_rng([recipe.seed, 4]))
    wordy = [row for row, places in enumerate(hidden) if places.any()]
    plain = [*texts, *(variant.text for _, variant in false)]
    asked_texts = sorted({question for _, question, _, _ in questions})
    plain_lines = encode_lines(words, [*plain, *asked_texts], teller("captions"))
    masked_lines = encode_lines(words, [], None, [hidden_ids[row] for row in wordy])
    lines = _joined(plain_lines, masked_lines)
    line_of = {question: len(plain) + number for number, question in enumerate(asked_texts)}
    changed = np.full(len(texts), -1, np.int64)
    for number, (row, _) in enumerate(false):
        changed[row] = len(texts) + number
    classes = np.unique(np.concatenate(ids))
    of = np.zeros(int(classes.max()) + 1, np.int64)
    of[classes] = np.arange(len(classes))
    masked_words = [np.where(hidden[row], of[ids[row]], -1) for row in wordy]

    vectors = _vectors(encoder, texts)
    photos = train_photos.vectors()
    mean = np.zeros_like(photos)
    np.add.at(mean, owner, vectors)
    near = _nearest(mean, photos, recipe.near)
    ends = np.cumsum([len(own) for own in pairs.texts])
    material = Material(
        photos=train_photos if given_photos[0] is None else _stacked(train_photos, given_photos[0]), lines=lines,
        captions=[np.arange(e - len(own), e) for e, own in zip(ends, pairs.texts, strict=True)],
        changed=changed, masked=np.arange(len(plain_lines), len(lines)), masked_photo=owner[wordy],
        masked_words=masked_words, said=sentences,
        questions=np.array([line_of[q] for _, q, _, _ in questions], np.int64),
        question_photo=np.array([p for p, _, _, _ in questions], np.int64),
        answers=[np.array(right) for _, _, right, _ in questions],
        sources=np.array([s for _, _, _, s in questions], np.int64), near=near, classes=len(classes),
    )  # fmt: skip
    bank = vectors[np.random.default_rng(recipe.seed).permutation(len(vectors))[:BANK]]
    judged = _dev(encoder, words, dev, dev_photos, bank, given_dev, given_photos, recipe)
    return material, judged, (answers, said)


def _photos(
    encoder: Encoder, pairs: Pairs, recipe: RerankRecipe, file: Path, views: int, teller: Teller
) -> tuple[Pairs, Photos]:
    """The pairs whose photos can be read, and these photos."""
    trainee, margin = RegionTrainee(encoder), MARGIN if views > 1 else 1.0
    kept, pictures = Pictures.open(pairs, encoder.card.preprocess, margin, report=teller("photos"))
    for item in kept.skipped[:10]:
        log.warning("skipped %s: %s", item.path, item.reason)
    stored = prefix_cache.image_views(
        trainee, pictures, len(kept), views, file, torch.device("cpu"), recipe.seed, teller("views")
    )
    return kept, Photos(stored, trainee.regions.side**2, trainee.regions.dim)


def _given(
    encoder: Encoder, given: Given | None, recipe: RerankRecipe, cache: Path, teller: Teller
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]], tuple[Photos | None, list[str]]]:
    """The given questions to learn from and to be judged by (a tenth of the photos), and their photos."""
    if given is None or not given.rows:
        return [], [], (None, [])
    learned, judged = question_rules.split(given.rows, SHARE, recipe.seed)
    names = sorted({file for file, _, _ in given.rows})
    texts = tuple((name,) for name in names)
    pairs, photos = _photos(
        encoder, Pairs(given.folder, tuple(names), texts), recipe, cache / "given.npy", recipe.views, teller
    )
    return learned, judged, (photos, list(pairs.names))


def _stacked(one: Photos, other: Photos) -> Photos:
    return Photos(np.concatenate([one.stored, other.stored]), one.regions, one.dim)


def _parts(answer: str) -> list[str]:
    """A list of things is as many right answers."""
    return [part.strip() for part in answer_rules.normalize(answer).split(",") if part.strip()]


def _asked(pairs: Pairs, given: Given | None, seed: int) -> list[tuple[str, str]]:
    """The questions to learn from, with their answers."""
    rows = [(one.question, one.answer) for one in question_rules.derive(pairs.texts, seed)]
    if given is not None:
        rows += [(question, answer) for _, question, answer in question_rules.split(given.rows, SHARE, seed)[0]]
    return rows


def _sayings(texts: Sequence[str], size: int) -> tuple[list[str], list[NDArray[np.int64]]]:
    """The caption vocabulary, and each text in it."""
    cut = [caption_tokens(text)[: LONGEST - 2] for text in texts]
    counts = Counter(word for row in cut for word in row)
    common = sorted(counts, key=lambda word: (-counts[word], word))[: max(0, size - len(SPECIAL))]
    said = [*SPECIAL, *common]
    place = {word: number for number, word in enumerate(said)}
    return said, [np.array([START, *(place.get(word, UNKNOWN) for word in row), END], np.int64) for row in cut]


def _joined(one: Lines, other: Lines) -> Lines:
    states = prefix_cache.TokenStates(
        np.concatenate([one.states.states, other.states.states]),
        np.concatenate([one.states.starts, other.states.starts[1:] + one.states.starts[-1]]),
    )
    return Lines(states, [*one.ids, *other.ids])


def _vectors(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, dim), a few texts of like length at a time."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = np.empty((len(texts), encoder.card.dim), np.float32)
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        found[rows] = encoder.encode_texts([texts[row] for row in rows])
    return found


def _nearest(texts: NDArray[np.float32], photos: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """For each photo the photos that its captions find, itself left out, (photos, count)."""
    count = min(count, len(photos) - 1)
    found = np.empty((len(photos), count), np.int64)
    for start in range(0, len(photos), 512):
        scores = texts[start : start + 512] @ photos.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        found[start : start + 512] = np.sort(top, axis=1)
    return found


def _dev(
    encoder: Encoder, words: WordEncoder, dev: Pairs, photos: Photos, bank: NDArray[np.float32],
    given: list[tuple[str, str, str]], given_photos: tuple[Photos | None, list[str]], recipe: RerankRecipe,
) -> Dev:  # fmt: skip
    texts = [text for own in dev.texts for text in own]
    owner = np.repeat(np.arange(len(dev)), [len(own) for own in dev.texts])
    gallery, vectors = photos.vectors(), _vectors(encoder, texts)
    scores = vectors @ gallery.T - hubness.handicap(gallery, bank)
    count = min(ALL, len(gallery))
    candidates = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    false = hard_negatives.build(texts, 0)
    changed = np.full(len(texts), -1, np.int64)
    kinds = [""] * len(texts)
    near = np.zeros((len(texts), 2), np.float32)
    near[:, 0] = (vectors * gallery[owner]).sum(axis=1)
    others = _vectors(encoder, [variant.text for _, variant in false])
    for number, (row, variant) in enumerate(false):
        changed[row], kinds[row] = len(texts) + number, variant.kind
        near[row, 1] = float(others[number] @ gallery[owner[row]])
    derived = question_rules.derive(dev.texts, recipe.seed)
    random.Random(recipe.seed).shuffle(derived)
    rows = [(one.photo, one.question, one.answer, CAPTION_QUESTIONS) for one in derived[:2000]]
    tokens = [photos.plain(np.arange(len(photos)))]
    if given_photos[0] is not None:
        place = {file: len(photos) + number for number, file in enumerate(given_photos[1])}
        rows += [(place[file], question, answer, GIVEN_QUESTIONS) for file, question, answer in given if file in place]
        tokens.append(given_photos[0].plain(np.arange(len(given_photos[0]))))
    asked = [question for _, question, _, _ in rows]
    things = [found.thing if (found := parse(one)) and found.kind == "yes/no" else "" for one in asked]
    flat = [*texts, *(variant.text for _, variant in false), *asked, *things]
    lines = encode_lines(words, flat)
    ends = len(flat) - len(things)
    return Dev(
        tokens=torch.cat(tokens), lines=lines, captions=np.arange(len(texts)), owner=owner,
        first=np.take_along_axis(scores, candidates, axis=1).astype(np.float32), candidates=candidates,
        changed=changed, kinds=kinds, near=near,
        questions=np.arange(len(texts) + len(false), ends),
        things=np.array([ends + row if thing else -1 for row, thing in enumerate(things)], np.int64),
        question_photo=np.array([r[0] for r in rows], np.int64), asked=asked,
        answers=[answer_rules.normalize(r[2]) for r in rows], sources=np.array([r[3] for r in rows], np.int64),
    )  # fmt: skip


# -- judging ------------------------------------------------------------------------------------------------------


def few(dev: Dev, recipe: RerankRecipe, answers: Sequence[str]) -> Callable[[RerankModel], dict[str, float]]:
    """A quick look at some of dev's captions and their first candidates; merit is R@1 with the best weight."""
    some = np.unique(np.linspace(0, len(dev.captions) - 1, min(recipe.dev_queries, len(dev.captions))).astype(np.int64))
    count = min(recipe.dev_candidates, dev.candidates.shape[1])

    def look(model: RerankModel) -> dict[str, float]:
        match = match_scores(model, dev.tokens, dev.lines, dev.captions[some], dev.candidates[some, :count])
        first, right = dev.first[some, :count], dev.candidates[some, :count] == dev.owner[some, None]
        found = {weight: recall(first, match, right, "weighted", weight)[0] for weight in WEIGHTS}
        best = max(found, key=lambda weight: found[weight])
        figures = {"merit": found[best], "first": found[0.0], "match": recall(first, match, right, "match", 1.0)[0]}
        figures["weight"] = best
        figures["changed"] = changed_accuracy(model, dev, some)["all"]["reranker"]
        if len(dev.questions):
            figures |= {f"answers_{n}": v for n, v in answer_accuracy(model, dev, answers, 600).items()}
        return figures

    return look


def recall(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], rule: Any, weight: float
) -> tuple[float, float, float]:
    """R@1, R@5 and R@10 in percent after reranking, 0 without queries; ``right`` (q, k) marks the right candidate, if
    it is there."""
    if not len(first):
        return 0.0, 0.0, 0.0
    ranks = ranked(first, match, right, rule, weight)
    one, five, ten = (round(100 * float((ranks <= k).mean()), 2) for k in (1, 5, 10))
    return one, five, ten


def ranked(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], rule: Any, weight: float
) -> NDArray[np.int64]:
    """The rank of the right candidate of each query, (q,); k + 1 where the first stage did not find it."""
    ranks = np.full(len(first), first.shape[1] + 1, np.int64)
    for query in range(len(first)):
        if right[query].any():
            scores = combine(first[query], match[query], rule, weight)
            ranks[query] = int((scores >= scores[right[query]][0]).sum())  # a tie counts against the right one
    return ranks


def changed_accuracy(model: RerankModel, dev: Dev, some: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """How often the true caption is ahead of its false version, by kind: first stage and reranker, in percent."""
    rows = some[dev.changed[some] >= 0]
    if not len(rows):
        return {"all": {"first_stage": 0.0, "reranker": 0.0, "captions": 0}}
    own = dev.owner[rows][:, None]
    true = match_scores(model, dev.tokens, dev.lines, rows, own)[:, 0]
    false = match_scores(model, dev.tokens, dev.lines, dev.changed[rows], own)[:, 0]
    kinds = np.array([dev.kinds[row] for row in rows])
    found = {}
    for kind in ("all", *sorted(set(kinds.tolist()))):
        of = np.ones(len(rows), bool) if kind == "all" else kinds == kind
        found[kind] = {
            "first_stage": round(100 * float((dev.near[rows[of], 0] > dev.near[rows[of], 1]).mean()), 2),
            "reranker": round(100 * float((true[of] > false[of]).mean()), 2),
            "captions": int(of.sum()),
        }
    return found


@torch.no_grad()
def answer_logits(model: RerankModel, dev: Dev, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the answer head says to some of dev's questions, (n, answers)."""
    model.eval()
    device = model.log_scale.device
    found = []
    for start in range(0, len(rows), 128):
        part = rows[start : start + 128]
        states, mask = (one.to(device) for one in dev.lines.batch(dev.questions[part]))
        regions = model.see(dev.tokens[torch.from_numpy(dev.question_photo[part])].to(device))
        found.append(model.answers(model.join(model.read(states), mask, regions).fused).float().cpu().numpy())
    logits: NDArray[np.float32] = np.concatenate(found)
    return logits


def yes_or_no(model: RerankModel, dev: Dev, answers: Sequence[str]) -> dict[str, Any]:
    """How yes is told from no (``RerankCard.yes``), fitted on the questions about photos with an even number.

    With the share of the others that the answer head alone answers rightly and that the fit does, in percent; where the
    fit is no better there, or there are fewer than ``ENOUGH`` questions in a part, the head alone is kept.
    """
    alone = RerankCard.yes
    rows = np.flatnonzero((dev.things >= 0) & np.isin(dev.answers, ("yes", "no")))
    half = dev.question_photo[rows] % 2 == 0
    if min(half.sum(), (~half).sum()) < ENOUGH:
        return {"fit": alone, "head": 0.0, "fitted": 0.0, "questions": 0}
    logits = answer_logits(model, dev, rows)
    odds = logits[:, answers.index("yes")] - logits[:, answers.index("no")]
    match = match_scores(model, dev.tokens, dev.lines, dev.things[rows], dev.question_photo[rows][:, None])[:, 0]
    right = np.array(dev.answers)[rows] == "yes"
    fit = answer_rules.fit_yes(odds[half], match[half], right[half])
    head, fitted = (
        round(100 * float(((a * odds + b * match + c > 0) == right)[~half].mean()), 2) for a, b, c in (alone, fit)
    )
    return {"fit": fit if fitted > head else alone, "head": head, "fitted": fitted, "questions": int((~half).sum())}


def answer_accuracy(model: RerankModel, dev: Dev, answers: Sequence[str], limit: int = 0) -> dict[str, float]:
    """Questions answered exactly right, by source, in percent."""
    rows = np.arange(len(dev.questions))
    if limit:
        rows = np.concatenate([np.flatnonzero(dev.sources == s)[:limit] for s in np.unique(dev.sources)])
    best = answer_logits(model, dev, rows).argmax(axis=1).tolist() if len(rows) else []
    right = np.array([answers[b] == dev.answers[row] for b, row in zip(best, rows, strict=True)], bool)
    names = {CAPTION_QUESTIONS: "captions", GIVEN_QUESTIONS: "given"}
    return {
        names[int(s)]: round(100 * float(right[dev.sources[rows] == s].mean()), 2) for s in np.unique(dev.sources[rows])
    }


def baseline(prior: answer_rules.Prior, dev: Dev) -> dict[str, float]:
    """The most frequent answer of each type of question, by source, in percent."""
    right = np.array([prior.answer(q) == a for q, a in zip(dev.asked, dev.answers, strict=True)])
    names = {CAPTION_QUESTIONS: "captions_baseline", GIVEN_QUESTIONS: "given_baseline"}
    return {names[int(s)]: round(100 * float(right[dev.sources == s].mean()), 2) for s in np.unique(dev.sources)}


def examine(model: RerankModel, dev: Dev, answers: Sequence[str]) -> dict[str, Any]:
    """All figures on dev, and the rule and weight to combine scores by, see ``choose``."""
    match = match_scores(model, dev.tokens, dev.lines, dev.captions, dev.candidates)
    rule, table = choose(dev.first, match, dev.candidates == dev.owner[:, None], dev.owner % 2 == 0)
    return {
        "rule": rule, "rules": table, "changed": changed_accuracy(model, dev, dev.captions),
        "answers": answer_accuracy(model, dev, answers), "yes": yes_or_no(model, dev, answers),
        "candidates": dev.candidates.shape[1], "queries": len(dev.captions),
    }  # fmt: skip


def choose(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], half: NDArray[np.bool_]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule and weight with the best R@1 in one half of the queries, ``half`` (q,), and the recalls of all.

    Whether it ``helps`` is said by the other half: it must be better there than the first stage.
    """
    table: dict[str, Any] = {}
    tried = [(rule, 1.0) for rule in RULES if rule != "weighted"] + [("weighted", weight) for weight in WEIGHTS]
    for rule, weight in tried:
        name = _named(rule, weight)
        table[name] = {
            "all": recall(first, match, right, rule, weight),
            "half": recall(first[half], match[half], right[half], rule, weight)[0],
            "other": recall(first[~half], match[~half], right[~half], rule, weight)[0],
        }
    best = max(tried, key=lambda one: table[_named(*one)]["half"])
    helps = table[_named(*best)]["other"] > table[_named("weighted", 0.0)]["other"]
    return {"rule": best[0], "weight": best[1], "helps": helps}, table


def _named(rule: str, weight: float) -> str:
    return f"{rule} {weight}" if rule == "weighted" else rule
