"""The reranker at work, through ONNX Runtime; imports no torch.

A reranker is a folder: ``reranker.json`` (its ``RerankCard``), ``words.onnx`` (see ``sqlite/fulltext.py``),
``match.onnx`` and ``caption.onnx`` (see ``export/graphs.py``).  Photos are seen as the region tokens that a library
stores.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.onnx.text_graph import TextGraph
from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ImageError, ModelError, QueryError
from mmsearch.language import questions
from mmsearch.language.questions import Kind, Question
from mmsearch.media.filesystem import open_regular
from mmsearch.rerank import captions
from mmsearch.rerank.captions import Caption
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.words import WordEncoder
from mmsearch.types import PathLike, Regions

Document = PathLike | Regions  # a picture file, or region tokens (r, dim)


@dataclass(frozen=True)
class Look:
    """A text before n photos."""

    match: NDArray[np.float32]  # (n,): logit; how well the text describes the photo, higher is better
    answers: NDArray[np.float32]  # (n, answers): probability of each answer, if the text is a question
    attention: NDArray[np.float32]  # (n, t, r): how much each piece of the text looks at each region; rows sum to 1
    words: tuple[str, ...]  # (t,): the pieces, [CLS] and [SEP] at the ends, "##" where a word goes on


@dataclass(frozen=True)
class Answer:
    """What a photo answers to a question."""

    text: str
    confidence: float  # its probability: of yes against no, else among all answers that can be given


class Reranker:
    """Match, answers and captions of photos.  Graphs are loaded when first used; safe to call from several threads."""

    def __init__(self, folder: Path, encoder: Encoder | None = None, threads: int = 0, quick: bool = False) -> None:
        """``encoder`` is only needed to look at picture files; ``threads`` limits those of one run, 0 takes all cores.

        ``quick`` is for a program that asks a few texts: graphs are loaded in a third of the time, and run more slowly.

        Raises ModelError when the folder is incomplete, or the encoder gives other region tokens.
        """
        self.folder, self.threads, self.encoder = folder, threads, encoder
        self.card = RerankCard.read(folder)
        if encoder is not None and region_key(encoder.card) != self.card.regions:
            raise ModelError(
                f"the reranker {folder} was trained on other region tokens than {encoder.card.name} gives; "
                "train one for it",
                code="no-reranker",
            )
        self.words = WordEncoder(EMBEDDED, folder / "words.onnx", graph=_text_graph(encoder, threads, quick))
        self._match = onnx_session.Graph([folder / "match.onnx"], 1, quick)
        self._cores = onnx_session.cores(threads)
        self._caption = onnx_session.Graph([folder / "caption.onnx"], threads, quick)

    def look(self, text: str, tokens: Regions) -> Look:
        """``text`` before n photos; ``tokens`` (n, r, dim) float32."""
        ids = self.words.tokenize([text])
        states = self.words.run(ids)
        if len(tokens):
            session, file = self._match.session(len(tokens)), self.folder / "match.onnx"
            names = ("match", "answers", "attention")

            def run(share: Regions) -> list[NDArray[np.float32]]:
                return onnx_session.run(session, file, names, {"states": states, "tokens": share})

            share = -(-len(tokens) // self._cores)
            match, answers, attention = onnx_session.side_by_side(run, tokens, share, self._cores)
            n, pieces = len(tokens), ids.shape[1]
            wanted = ((n,), (n, len(self.card.answers)), (n, pieces, self.card.side**2))
            for name, got, shape in zip(names, (match, answers, attention), wanted, strict=True):
                self._check(file, name, got, shape)
        else:
            match, answers = np.empty(0, np.float32), np.empty((0, len(self.card.answers)), np.float32)
            attention = np.empty((0, ids.shape[1], self.card.side**2), np.float32)
        return Look(match, _softmax(answers), attention, self.words.pieces(ids[0]))

    def _check(self, file: Path, name: str, got: NDArray[np.float32], wanted: tuple[int, ...]) -> None:
        """Raises ModelError for values of a graph that are not what the card says."""
        if got.shape != wanted:
            raise ModelError(f"{file} gives {got.shape} values for {name}, reranker.json says {wanted}")
        if np.isnan(got).any():
            raise ModelError(f"{file} gives no numbers for {name}: the reranker is damaged")

    def answer(self, question: str, tokens: Regions, k: int = 3) -> list[list[Answer]]:
        """The ``k`` likeliest answers of each photo that the question can have, best first."""
        look, parsed = self.look(question, tokens), questions.parse(question)
        if parsed is None:
            return [self.best_answers(row, k) for row in look.answers]
        return [self.best_answers(row, k) for row in self.shares(parsed, look, self.look(parsed.thing, tokens).match)]

    def shares(self, question: Question, look: Look, match: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of each answer, (n, answers); 0 of those that the question cannot have.

        ``look`` is the question before n photos, ``match`` (n,) that of the thing that it asks about: whether something
        is there is told better by both together (``card.yes``) than by the answer head.
        """
        names = self.card.answers
        if question.kind != "yes/no" or not {"yes", "no"} <= set(names):
            return np.where(self.fitting(question.kind), look.answers, np.float32(0))
        of_head, of_match, constant = self.card.yes
        sure = (1 + np.tanh((of_head * self.odds(look) + of_match * match + constant) / 2)) / 2  # the logistic function
        shares = np.zeros_like(look.answers)
        shares[:, names.index("yes")], shares[:, names.index("no")] = sure, 1 - sure
        return shares

    def odds(self, look: Look) -> NDArray[np.float32]:
        """The answer head's logarithm of yes against no, (n,); 0 where it cannot answer so."""
        names = self.card.answers
        if not {"yes", "no"} <= set(names):
            return np.zeros(len(look.match), np.float32)
        yes, no = look.answers[:, names.index("yes")], look.answers[:, names.index("no")]
        odds: NDArray[np.float32] = np.log(np.maximum(yes, 1e-6)) - np.log(np.maximum(no, 1e-6))
        return odds

    def fitting(self, kind: Kind) -> NDArray[np.bool_]:
        """Which answers a question of this kind can have, (answers,); where none fits, all."""
        names = self.card.answers
        kinds = np.array(["yes/no" if n in ("yes", "no") else "number" if n.isdigit() else "other" for n in names])
        fits: NDArray[np.bool_] = kinds == kind
        return fits if fits.any() else np.ones(len(names), bool)

    def best_answers(self, probabilities: NDArray[np.float32], k: int) -> list[Answer]:
        """The ``k`` likeliest of one photo's answers (answers,), best first; after the first, none of probability 0."""
        possible = max(int((probabilities > 0).sum()), 1)
        order = np.argsort(-probabilities, kind="stable")[: min(k, possible)]
        return [Answer(self.card.answers[number], round(float(probabilities[number]), 4)) for number in order]

    def caption(self, tokens: Regions, beams: int = 3, alternatives: int = 1) -> list[list[Caption]]:
        """What each of n photos shows: up to ``alternatives`` captions of each, best first."""
        found, file = [], self.folder / "caption.onnx"
        for photo in tokens:

            def step(words: NDArray[np.int64], photo: NDArray[np.float32] = photo) -> NDArray[np.float32]:
                given: dict[str, NDArray[Any]] = {"words": words, "tokens": photo[None]}
                logits = onnx_session.run(self._caption.session(), file, None, given)[0]
                self._check(file, "the next word", logits, (len(words), len(self.card.caption_words)))
                return logits

            said = captions.search(step, beams, alternatives)
            found.append(captions.worded(said, self.card.caption_words))
        return found

    def predict(self, pairs: Sequence[tuple[str, Document]]) -> NDArray[np.float32]:
        """Match logits of (text, picture) pairs, (n,) float32; as ``CrossEncoder.predict`` of sentence-transformers.

        Raises QueryError for a picture that cannot be read, ModelError where files are given and there is no encoder.
        """
        tokens = self._tokens([document for _, document in pairs])
        scores = np.empty(len(pairs), np.float32)
        rows: dict[str, list[int]] = {}
        for row, (text, _) in enumerate(pairs):
            rows.setdefault(text, []).append(row)
        for text, its in rows.items():
            scores[its] = self.look(text, tokens[its]).match
        return scores

    def rank(
        self, query: str, documents: Sequence[Document], top_k: int | None = None, return_documents: bool = False
    ) -> list[dict[str, Any]]:
        """Pictures by how well they match, best first, as ``CrossEncoder.rank`` of sentence-transformers gives them.

        Dicts with ``corpus_id``, the number in ``documents``, ``score``, and ``document`` with ``return_documents``.

        Raises as ``predict`` does.
        """
        scores = self.predict([(query, document) for document in documents])
        found: list[dict[str, Any]] = []
        for row in np.argsort(-scores, kind="stable")[: len(scores) if top_k is None else top_k]:
            entry: dict[str, Any] = {"corpus_id": int(row), "score": float(scores[row])}
            if return_documents:
                entry["document"] = documents[row]
            found.append(entry)
        return found

    def _tokens(self, documents: Sequence[Document]) -> Regions:
        rows = [self._look_at(one) if isinstance(one, (str, os.PathLike)) else np.asarray(one) for one in documents]
        shape = (self.card.side**2, self.card.region_dim)
        for row in rows:
            if row.shape != shape:
                raise QueryError(f"region tokens of a picture have the shape {shape}, not {row.shape}")
        return np.stack(rows).astype(np.float32) if rows else np.empty((0, *shape), np.float32)

    def _look_at(self, document: PathLike) -> NDArray[np.float32]:
        if self.encoder is None:
            raise ModelError("to look at picture files a reranker needs an encoder: Reranker(folder, encoder)")
        from mmsearch.media.apart import decode_apart
        from mmsearch.media.kinds import NO_PICTURE

        path = os.fspath(document)
        try:
            with open_regular(path) as file:
                decoded = decode_apart(file, path, self.encoder.card.preprocess)
        except ImageError as error:
            raise QueryError(f"{path} cannot be read: {error.reason}") from error
        except OSError as error:
            raise QueryError(f"{path} cannot be read: {error.strerror or error}") from error
        if decoded.is_sound:
            raise QueryError(f"{path} cannot be read: {NO_PICTURE}")
        _, regions = self.encoder.encode_pictures(decoded.pixels[None])
        assert regions is not None
        row: NDArray[np.float32] = regions[0]
        return row


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    if not logits.size:
        return logits
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _text_graph(encoder: Encoder | None, threads: int, quick: bool) -> TextGraph:
    """That of the embedded model, as the encoder has it where it is the embedded one."""
    if isinstance(encoder, OnnxEncoder) and encoder.folder == EMBEDDED:
        return encoder.text_graph
    return TextGraph(EMBEDDED / "text.onnx", threads, quick)
