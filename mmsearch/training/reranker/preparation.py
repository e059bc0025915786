"""From captioned photos and questions to what a reranker learns from and is judged by."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.evaluation.caption_metrics import tokens as caption_tokens
from mmsearch.language import hard_negatives
from mmsearch.language.questions import parse
from mmsearch.rerank.vocabulary import END, LONGEST, SPECIAL, START, UNKNOWN
from mmsearch.rerank.words import WordEncoder
from mmsearch.search import hubness
from mmsearch.training.common.pairs import MARGIN, Pairs, Pictures
from mmsearch.training.common.progress import Reporter, counter
from mmsearch.training.contrastive import prefix_cache
from mmsearch.training.reranker import answers as answer_rules
from mmsearch.training.reranker import questions as question_rules
from mmsearch.training.reranker.data import (
    CAPTION_QUESTIONS,
    WRITTEN_QUESTIONS,
    EvalData,
    Lines,
    Photos,
    RegionTrainee,
    Thing,
    TrainData,
    encode_lines,
    hide,
)
from mmsearch.training.reranker.recipe import RerankRecipe

log = logging.getLogger(__name__)


BANK = 3000  # training captions that make a photo's background
ALL = 100  # candidates of the last look at dev
SHARE = 0.1  # of the photos with written questions are to judge by


@dataclass(frozen=True)
class WrittenQuestions:
    """Questions that somebody wrote, about photos of their own."""

    folder: Path
    rows: list[tuple[str, str, str]]  # file name, question, answer


@dataclass(frozen=True)
class Sources:
    """Where a run's data come from."""

    pairs: Pairs  # captioned photos to learn from
    dev: Pairs  # others, to judge by
    written: WrittenQuestions | None = None


def prepare(
    encoder: Encoder, words: WordEncoder, sources: Sources, recipe: RerankRecipe, cache: Path,
    progress: Reporter | None = None,
) -> tuple[TrainData, EvalData, tuple[list[str], list[str]]]:  # fmt: skip
    """All that is learned from and judged by, and the vocabularies of answers and of captions.

    Photos that cannot be read are left out, and said in the log.  ``cache`` gets the region tokens.  Raises SourceError
    when none can be read.
    """
    pairs, train_photos = read_photos(encoder, sources.pairs, recipe, cache / "train.npy", recipe.views, progress)
    dev, dev_photos = read_photos(encoder, sources.dev, recipe, cache / "dev.npy", 1, progress)
    written_train, written_dev, written_photos = _written(encoder, sources.written, recipe, cache, progress)

    texts = [text for own in pairs.texts for text in own]
    owner = np.repeat(np.arange(len(pairs)), [len(own) for own in pairs.texts])
    false = hard_negatives.build(texts, recipe.seed)
    asked = [(one.photo, one.question, one.answer) for one in question_rules.derive(pairs.texts, recipe.seed)]
    offset = len(pairs)
    rows = {file: offset + row for row, file in enumerate(written_photos[1])}
    asked_written = [(rows[file], question, answer) for file, question, answer in written_train if file in rows]
    parts = (part for _, _, answer in [*asked, *asked_written] for part in _parts(answer))
    answers = answer_rules.vocabulary(parts, recipe.answers)
    class_of = {answer: number for number, answer in enumerate(answers)}
    questions: list[tuple[int, str, list[int], int]] = []
    for source, several in ((CAPTION_QUESTIONS, asked), (WRITTEN_QUESTIONS, asked_written)):
        for photo, question, answer in several:
            right = [class_of[one] for one in _parts(answer) if one in class_of]
            if right:
                questions.append((photo, question, right, source))
    said, sentences, describes = sayings(texts, recipe)

    ids = [row[: int((row != 0).sum())] for row in words.tokenize(texts)]
    hidden_ids, hidden = hide(ids, recipe.masked_share, words.mask_id, np.random.default_rng([recipe.seed, 4]))
    wordy = [row for row, places in enumerate(hidden) if places.any()]
    plain = [*texts, *(variant.text for _, variant in false)]
    asked_texts = sorted({question for _, question, _, _ in questions})
    words_asked = things(asked)
    plain_lines = encode_lines(words, [*plain, *asked_texts, *words_asked], counter(progress, "captions"))
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
    alike = pairs.groups()
    near = nearest(mean, photos, recipe.near, alike)
    first_thing = len(plain) + len(asked_texts)
    data = TrainData(
        photos=train_photos if written_photos[0] is None else _stacked(train_photos, written_photos[0]), lines=lines,
        captions=pairs.caption_rows(),
        changed=changed, masked=np.arange(len(plain_lines), len(lines)), masked_photo=owner[wordy],
        masked_words=masked_words, said=sentences, describes=describes,
        questions=np.array([line_of[q] for _, q, _, _ in questions], np.int64),
        question_photo=np.array([p for p, _, _, _ in questions], np.int64),
        answers=[np.array(right) for _, _, right, _ in questions],
        sources=np.array([s for _, _, _, s in questions], np.int64), near=near, alike=alike,
        things=[Thing(first_thing + number, *photos) for number, photos in enumerate(words_asked.values())],
        classes=len(classes),
    )  # fmt: skip
    bank = vectors[np.random.default_rng(recipe.seed).permutation(len(vectors))[:BANK]]
    judged = dev_data(encoder, words, dev, dev_photos, bank, written_dev, written_photos, recipe)
    return data, judged, (answers, said)


def read_photos(
    encoder: Encoder, pairs: Pairs, recipe: RerankRecipe, file: Path, views: int, progress: Reporter | None
) -> tuple[Pairs, Photos]:
    """The pairs whose photos can be read, and these photos."""
    trainee, margin = RegionTrainee(encoder), MARGIN if views > 1 else 1.0
    kept, pictures = Pictures.open(pairs, encoder.card.preprocess, margin, report=counter(progress, "photos"))
    for item in kept.skipped[:10]:
        log.warning("skipped %s: %s", item.path, item.reason)
    stored = prefix_cache.image_views(
        trainee, pictures, len(kept), views, file, torch.device("cpu"), recipe.seed, counter(progress, "views")
    )
    return kept, Photos(stored, trainee.regions.side**2, trainee.regions.dim)


def _written(
    encoder: Encoder, written: WrittenQuestions | None, recipe: RerankRecipe, cache: Path, progress: Reporter | None
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]], tuple[Photos | None, list[str]]]:
    """The written questions to learn from and to be judged by (a tenth of the photos), and their photos."""
    if written is None or not written.rows:
        return [], [], (None, [])
    learned, judged = question_rules.split(written.rows, SHARE, recipe.seed)
    names = sorted({file for file, _, _ in written.rows})
    texts = tuple((name,) for name in names)
    pairs, photos = read_photos(
        encoder, Pairs(written.folder, tuple(names), texts), recipe, cache / "written.npy", recipe.views, progress
    )
    return learned, judged, (photos, list(pairs.names))


def _stacked(one: Photos, other: Photos) -> Photos:
    return Photos(np.concatenate([one.stored, other.stored]), one.regions, one.dim)


def _parts(answer: str) -> list[str]:
    """A list of things is as many right answers."""
    return [part.strip() for part in answer_rules.normalize(answer).split(",") if part.strip()]


def question_answers(sources: Sources, seed: int) -> list[tuple[str, str]]:
    """The questions to learn from, with their answers."""
    rows = [(one.question, one.answer) for one in question_rules.derive(sources.pairs.texts, seed)]
    if sources.written is not None:
        rows += [
            (question, answer) for _, question, answer in question_rules.split(sources.written.rows, SHARE, seed)[0]
        ]
    return rows


def things(asked: Sequence[tuple[int, str, str]]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """What is asked for by "is there a dog?", as people search for it ("dog"): photos that show it and that do not."""
    found: dict[str, dict[str, list[int]]] = {}
    for photo, question, answer in asked:
        there = re.fullmatch(r"(?:is|are) there (?:(?:an?|any|some) )?(.+?)(?: in the photo)?\?", question)
        if there and answer in ("yes", "no"):
            found.setdefault(there[1], {"yes": [], "no": []})[answer].append(photo)
    return {
        thing: (np.array(photos["yes"], np.int64), np.array(photos["no"], np.int64))
        for thing, photos in sorted(found.items())
        if photos["yes"] and photos["no"]
    }


def sayings(texts: Sequence[str], recipe: RerankRecipe) -> tuple[list[str], list[NDArray[np.int64]], NDArray[np.bool_]]:
    """The caption vocabulary, each text in it, and which texts are long enough to describe a photo; all are where none
    is."""
    cut = [caption_tokens(text)[: LONGEST - 2] for text in texts]
    describes = np.array([len(row) >= recipe.caption_least for row in cut], np.bool_)
    if not describes.any():
        describes[:] = True
    counts = Counter(word for row, told in zip(cut, describes, strict=True) if told for word in row)
    common = sorted(counts, key=lambda word: (-counts[word], word))[: max(0, recipe.caption_words - len(SPECIAL))]
    said = [*SPECIAL, *common]
    place = {word: number for number, word in enumerate(said)}
    rows = [np.array([START, *(place.get(word, UNKNOWN) for word in row), END], np.int64) for row in cut]
    return said, rows, describes


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


def nearest(
    texts: NDArray[np.float32], photos: NDArray[np.float32], count: int, alike: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each photo the photos that its captions find, (photos, count); those that share one are left out while
    there are others."""
    count = min(count, len(photos) - 1)
    found = np.empty((len(photos), count), np.int64)
    for start in range(0, len(photos), 512):
        scores = texts[start : start + 512] @ photos.T
        scores[alike[start : start + 512, None] == alike[None, :]] -= 10  # more than two cosines can differ
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        found[start : start + 512] = np.sort(top, axis=1)
    return found


def dev_data(
    encoder: Encoder, words: WordEncoder, dev: Pairs, photos: Photos, bank: NDArray[np.float32],
    written: list[tuple[str, str, str]], written_photos: tuple[Photos | None, list[str]], recipe: RerankRecipe,
) -> EvalData:  # fmt: skip
    """What a model is judged by: captions of ``dev``, whose photos are candidates, their false versions, and questions;
    ``bank`` (m, dim) are the texts that a photo's hubness is taken from."""
    texts = [text for own in dev.texts for text in own]
    owner = np.repeat(np.arange(len(dev)), [len(own) for own in dev.texts])
    gallery, vectors = photos.vectors(), _vectors(encoder, texts)
    scores = vectors @ gallery.T - hubness.hubness_penalty(gallery, bank)
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
    if written_photos[0] is not None:
        photo_of = {file: len(photos) + number for number, file in enumerate(written_photos[1])}
        rows += [
            (photo_of[file], question, answer, WRITTEN_QUESTIONS)
            for file, question, answer in written
            if file in photo_of
        ]
        tokens.append(written_photos[0].plain(np.arange(len(written_photos[0]))))
    asked = [question for _, question, _, _ in rows]
    things = [found.thing if (found := parse(one)) and found.kind == "yes/no" else "" for one in asked]
    flat = [*texts, *(variant.text for _, variant in false), *asked, *things]
    lines = encode_lines(words, flat)
    ends = len(flat) - len(things)
    return EvalData(
        tokens=torch.cat(tokens), lines=lines, captions=np.arange(len(texts)), owner=owner,
        first=np.take_along_axis(scores, candidates, axis=1).astype(np.float32), candidates=candidates,
        changed=changed, kinds=kinds, near=near,
        questions=np.arange(len(texts) + len(false), ends),
        things=np.array([ends + row if thing else -1 for row, thing in enumerate(things)], np.int64),
        question_photo=np.array([r[0] for r in rows], np.int64), asked=asked,
        answers=[answer_rules.normalize(r[2]) for r in rows], sources=np.array([r[3] for r in rows], np.int64),
    )  # fmt: skip
