"""The training loop: any ``Trainee``, captioned photos and a ``Recipe`` to a model folder.

All randomness of a step comes from (seed, step, rank), so a checkpoint needs no generator's state: a run that was
killed and goes on ends with the same bits as one that was not.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.errors import ConfigError, SourceError, TrainingError
from mmsearch.evaluation.metrics import retrieval
from mmsearch.media.filesystem import atomic_write
from mmsearch.training.common import checkpoint, losses, mining, optimize, report
from mmsearch.training.common.distributed import World, average_gradients, gather
from mmsearch.training.common.mining import Meeting
from mmsearch.training.common.pairs import MARGIN, Pairs, Pictures
from mmsearch.training.contrastive import gradcache, masked_words, prefix_cache
from mmsearch.training.contrastive.prefix_cache import ImageSource, TextSource
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainee import Texts, Trainee

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds between checkpoints within an epoch
LOG_EVERY = 10  # steps between two lines of log.jsonl
ENCODED = 64  # photos or texts encoded together for dev and mining
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Batch:
    """What an extra term sees of the step that it is added to, on this process."""

    prefix: Tensor  # (b, ...) of the photos
    image_states: Tensor  # (b, s, width), detached, nothing dropped
    image_vectors: Tensor  # (b of all processes, dim), with gradient
    text_vectors: Tensor  # (b of all processes, captions, dim), with gradient


class ExtraTerm(Protocol):
    """A loss of one's own: gets the trainee, the step's randomness, and the inverse temperature; gives a scalar."""

    def __call__(self, trainee: Trainee, rng: np.random.Generator, scale: Tensor, batch: Batch) -> Tensor: ...


@dataclass(frozen=True)
class TrainProgress:
    """How far a run is."""

    phase: str  # "photos", "views", "captions", "training", or "writing"
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0
    loss: float = math.nan
    rate: float = math.nan  # learning rate of the pooling
    pairs_per_second: float = math.nan
    seconds_left: float = math.nan


Reporter = Callable[[TrainProgress], None]


@dataclass(frozen=True)
class Outcome:
    """What ``train`` gives; the trainee holds the weights that were kept."""

    folder: Path
    epoch: int  # that was kept; 0 is the base model
    epochs_run: int
    steps: int
    before: Figures | None  # on dev; None without dev photos
    after: Figures | None
    photos: int
    captions: int
    skipped: int
    loss: float = math.nan  # of the last step


def train(
    trainee: Trainee,
    pairs: Pairs,
    dev: Pairs | None,
    recipe: Recipe,
    out: Path,
    extra_terms: Sequence[ExtraTerm] = (),
    progress: Reporter | None = None,
    *,
    device: str = "cpu",
    resume: bool = False,
    keep_cache: bool = False,
    origin: dict[str, Any] | None = None,
    world: World | None = None,
    save_every: float = SAVE_EVERY,
) -> Outcome:
    """Train; the moving average of the weights with the best text-to-image R@1 on dev is kept and saved to ``out``.

    Without ``dev`` the last average is kept.  ``origin`` is stored in ``run.json`` for whoever resumes the run.
    ``world`` is this process among others that train the same model.  Raises TrainingError when ``out`` is taken,
    cannot be resumed, or when the loss stops being a number; SourceError when no photo can be read; ConfigError for a
    recipe that makes no sense.
    """
    recipe.check()
    report.check_packages()
    if not trainee.hides_states and (recipe.region_dropout or recipe.word_dropout):
        raise ConfigError(f"{trainee.card_name} cannot hide regions or words: set region_dropout and word_dropout to 0")
    with torch.random.fork_rng():
        session = Session(
            trainee, recipe, out, tuple(extra_terms), progress, torch.device(device), world or World(), save_every
        )
        try:
            return session.run(pairs, dev, resume, keep_cache, origin or {})
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the GPU's memory is too small for {recipe.micro_batch or recipe.batch} photos at once: set "
                "micro_batch, which changes neither loss nor gradient, to a smaller number"
            ) from error


@dataclass
class _State:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0  # steps done
    epoch: int = 1  # the one that is being shown
    place: int = 0  # meetings of it that are done
    plan: list[Meeting] = field(default_factory=list)  # its meetings; empty before it begins
    best: tuple[float, float] = (-1.0, -1.0)  # R@1 and MRR
    best_epoch: int = 0
    before: Figures | None = None
    after: Figures | None = None
    stopped: bool = False
    loss: float = math.nan


class Session:
    """One call of ``train``."""

    def __init__(
        self, trainee: Trainee, recipe: Recipe, out: Path, extra_terms: tuple[ExtraTerm, ...],
        progress: Reporter | None, device: torch.device, world: World, save_every: float,
    ) -> None:  # fmt: skip
        self.trainee, self.recipe, self.out, self.extra_terms = trainee, recipe, out, extra_terms
        self.progress = progress if world.first else None
        self.device, self.world, self.save_every = device, world, save_every
        self.run_files = checkpoint.Run(out)
        self.log: report.Log | None = None  # the first process's
        self.dtype = _precision(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def run(self, pairs: Pairs, dev: Pairs | None, resume: bool, keep_cache: bool, origin: dict[str, Any]) -> Outcome:
        self._open(pairs, dev, resume, origin)
        self._prepare(pairs, dev)
        state = self._restore()
        if state.step == 0 and state.before is None and self.dev_texts is not None:
            state.before = state.after = self._evaluate()
            state.best = _merit(state.before)
            self._epoch_event(0, state.before)
        if state.step == 0:
            self._save_best()
            self._save(state)
        started, shown, first = time.perf_counter(), 0, state.step
        saved = started
        while not state.stopped and state.epoch <= self.recipe.epochs:
            if not state.plan:
                state.plan, state.place = self._plan(state.epoch), 0
            total = state.step - state.place + len(state.plan) * (self.recipe.epochs - state.epoch + 1)
            while state.place < len(state.plan):
                meeting = state.plan[state.place]
                begun = time.perf_counter()
                share = optimize.rate(state.step, total, self.recipe.warmup)
                optimize.set_rate(self.optimizer, share)
                state.loss, parts = self._step(meeting, state.step)
                state.step += 1
                state.place += 1
                shown += meeting.captions.size
                now = time.perf_counter()
                rate = share * self.recipe.lr
                if self.log is not None and (state.step % LOG_EVERY == 0 or state.place == len(state.plan)):
                    pace = round(meeting.captions.size / max(now - begun, 1e-9), 1)
                    self.log.add(
                        "step", step=state.step, epoch=state.epoch, loss=state.loss, lr=rate, pairs_per_second=pace,
                        **parts,
                    )  # fmt: skip
                left = (now - started) / (state.step - first) * (total - state.step)
                self._tell(
                    "training", state.step, total, epoch=state.epoch, epochs=self.recipe.epochs, loss=state.loss,
                    rate=rate, pairs_per_second=shown / max(now - started, 1e-9), seconds_left=left,
                )  # fmt: skip
                if self.world.tell(now - saved >= self.save_every) and state.place < len(state.plan):
                    self._save(state)
                    saved = time.perf_counter()
            self._end_epoch(state)
            self._save(state)
            saved = time.perf_counter()
        return self._finish(state, keep_cache)

    # -- before the first step ------------------------------------------------------------------------------------

    def _open(self, pairs: Pairs, dev: Pairs | None, resume: bool, origin: dict[str, Any]) -> None:
        """The folder: new, or that of the run to go on with."""
        facts = {
            "base": self.trainee.card_name,
            "base_weights": checkpoint.weights_hash(self.trainee.module),
            "pairs": pairs.digest,
            "dev": dev.digest if dev is not None else "",
            "processes": self.world.size,
            "recipe": asdict(self.recipe),
            "origin": origin,
        }
        if not resume:
            if self.world.first:
                self.run_files.start(facts)
            self.world.wait()
            return
        found = self.run_files.unfinished()
        changed = [
            what
            for key, what in (
                ("pairs", "the captions"), ("dev", "the dev captions"), ("base_weights", "the base model"),
                ("recipe", "the recipe"), ("processes", "the number of processes"),
            )
            if found[key] != facts[key]
        ]  # fmt: skip
        if changed:
            raise TrainingError(
                f"the run in {self.out} cannot be resumed: {', '.join(changed)} changed since it was started; "
                "bring back what it had, or start a new run in another folder"
            )

    def _prepare(self, pairs: Pairs, dev: Pairs | None) -> None:
        """Photos, captions, and everything that learns."""
        recipe, trainee, files = self.recipe, self.trainee, self.run_files
        files.cache.mkdir(exist_ok=True)
        trainee.module.to(self.device)
        trainee.module.eval()
        margin = MARGIN if recipe.augment else 1.0
        self.pairs, pictures = Pictures.open(pairs, trainee.preprocess, margin, report=self._teller("photos"))
        if self.pairs.skipped and self.world.first:
            for item in self.pairs.skipped[:10]:
                log.warning("skipped %s: %s", item.path, item.reason)
            log.warning("%d of %d photos could not be read; training goes on", len(self.pairs.skipped), len(pairs))
        if len(self.pairs) < 2 * self.world.size:
            raise TrainingError(f"{len(self.pairs)} photos are too few: a caption needs other photos to be told from")
        self.images = self._images("train", pictures, len(self.pairs), recipe.views if recipe.augment else 1)
        flat = [text for own in self.pairs.texts for text in own]
        self.texts = prefix_cache.text_source(trainee, flat, self.device, self._teller("captions"))
        self.captions = _rows(self.pairs)
        self.dev: Pairs | None = None
        self.dev_texts: TextSource | None = None
        if dev is not None and len(dev):
            try:
                self.dev, dev_pictures = Pictures.open(dev, trainee.preprocess)
            except SourceError as error:
                log.warning("no dev photo could be read, so the last epoch is kept: %s", error)
        if self.dev is not None:
            self.dev_images = self._images("dev", dev_pictures, len(self.dev), 1)
            flat = [text for own in self.dev.texts for text in own]
            self.dev_texts = prefix_cache.text_source(trainee, flat, self.device)
        # CLIP's limit; some models come with a scale above it.
        self.largest = max(100.0, float(trainee.log_scale.detach().exp().max()))
        with self._randomness(-1, 0):
            self.head = self._head().to(self.device)
        learning = nn.ModuleDict({"model": trainee.module, "head": self.head})
        self.trained = {name: p for name, p in learning.named_parameters() if p.requires_grad}
        extra = [trainee.log_scale, trainee.bias, *self.head.parameters()]
        self.optimizer = optimize.optimizer(trainee.groups(), extra, recipe)
        self.average = optimize.Average(list(self.trained.values()), recipe.ema)

    def _images(self, name: str, pictures: Pictures, count: int, views: int) -> ImageSource:
        stored: NDArray[np.float16] | None = None
        if self.trainee.freezes_images and views:
            file = self.run_files.cache / f"{name}.npy"
            arguments = (self.trainee, pictures, count, views, file, self.device, self.recipe.seed)
            if self.world.first:
                prefix_cache.image_views(*arguments, self._teller("views"))
            self.world.wait()
            stored = prefix_cache.image_views(*arguments)
        augment = self.recipe.augment and name == "train"
        return ImageSource(self.trainee, pictures, count, self.device, self.recipe.seed, augment, stored)

    def _head(self) -> nn.Module:
        if not self.recipe.masked_words:
            return nn.Identity()
        vocabulary = torch.from_numpy(np.unique(np.concatenate(self.texts.ids)))
        table = self.trainee.word_table().cpu()
        return masked_words.MaskedWords(self.trainee.image_width, self.trainee.text_width, vocabulary, table)

    def _restore(self) -> _State:
        """The state in the checkpoint, or that of a run that begins."""
        found = self.run_files.load()
        if found is None:
            if self.world.first:
                self.log = report.Log(self.run_files.log)
            return _State()
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(found["weights"][name])
        self.average.load([found["means"][name] for name in self.trained], found["averaged"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.scaler.load_state_dict(found["scaler"])
        if self.world.first:
            self.log = report.Log(self.run_files.log, found["log"])
            log.info("going on after step %d, epoch %d", found["state"]["step"], found["state"]["epoch"])
        plan = [Meeting(photos.numpy(), captions.numpy()) for photos, captions in found["plan"]]
        return replace(_State(plan=plan), **{**found["state"], "best": tuple(found["state"]["best"])})

    # -- one step -------------------------------------------------------------------------------------------------

    def _plan(self, epoch: int) -> list[Meeting]:
        recipe = self.recipe
        near = None
        if recipe.mined and epoch > 1:  # before, a fresh pooling would have nothing to say
            near = mining.nearest(self._image_vectors(self.images), 4 * recipe.mined_group)
        rng = np.random.default_rng([recipe.seed, epoch, 0])
        return mining.epoch(
            self.captions, recipe.batch, recipe.captions_per_photo, rng, self.world.size, near, recipe.mined,
            recipe.mined_group,
        )  # fmt: skip

    def _step(self, meeting: Meeting, step: int) -> tuple[float, dict[str, float]]:
        """One step on a batch: the loss, and its parts."""
        recipe, trainee = self.recipe, self.trainee
        trainee.module.train()
        self.head.train()
        own = self.world.share(len(meeting.photos))
        photos = torch.from_numpy(meeting.photos).to(self.device)
        prefix = self.images.draw(meeting.photos, step, own)
        texts = self.texts.batch(meeting.captions[own].reshape(-1), self.device)
        size = max(1, recipe.micro_batch // self.world.size) if recipe.micro_batch else len(prefix)
        each = meeting.captions.shape[1]
        parts = [
            (prefix[start : start + size], texts.rows(start * each, (start + size) * each))
            for start in range(0, len(prefix), size)
        ]
        seen: list[Tensor] = []
        terms: dict[str, float] = {}

        def forward(part: tuple[Tensor, Texts]) -> tuple[Tensor, ...]:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                states = trainee.image_states(part[0])  # (m, s, w)
                if self.extra_terms and len(seen) < len(parts):
                    seen.append(states.detach())
                states = F.dropout(states, recipe.feature_dropout)
                kept = _keep(states.shape[:2], recipe.region_dropout, self.device)
                images = trainee.image_pool(states, kept)  # (m, d)
                said = part[1]
                mask = said.mask
                words = _keep(mask.shape, recipe.word_dropout, self.device)
                if words is not None:
                    mask = mask & words
                tokens = F.dropout(trainee.text_states(said.prefix, mask), recipe.feature_dropout)
                vectors = trainee.text_pool(tokens, mask, said.ids).unflatten(0, (-1, each))  # (m, c, d)
                if not recipe.masked_words:
                    return images, vectors
                return images, vectors, self._surprise(states, said, each).unflatten(0, (-1, each))

        def objective(features: tuple[Tensor, ...]) -> Tensor:
            images, vectors, *rest = (gather(feature) for feature in features)
            scale = trainee.log_scale.exp().clamp(max=self.largest)
            found = contrastive(images, vectors, photos, scale, trainee.bias, recipe)
            if rest:
                found["masked_words"] = recipe.masked_words * rest[0].mean()
            if self.extra_terms:
                batch = Batch(prefix, torch.cat(seen), images, vectors)
                rng = np.random.default_rng([recipe.seed, step, 2, self.world.rank])
                for number, term in enumerate(self.extra_terms):
                    found[f"extra_{number}"] = term(trainee, rng, scale, batch)
            terms.update({name: round(float(value.detach()), 5) for name, value in found.items()})
            return torch.stack(list(found.values())).sum()

        self.optimizer.zero_grad()
        with self._randomness(step, self.world.rank):
            loss = gradcache.run(
                parts,
                forward,
                objective,
                lambda value: self.scaler.scale(value).backward(),
            )
        value = float(loss)
        if not math.isfinite(value):
            raise TrainingError(f"the loss is no number after {step} steps; resume makes no sense: try a lower lr")
        average_gradients(self.trained.values())
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(list(self.trained.values()), recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update()
        return value, terms if len(terms) > 1 else {}

    def _surprise(self, states: Tensor, said: Texts, each: int) -> Tensor:
        """How badly hidden words are guessed, a row for each caption; the frozen layers must not see them either."""
        ids, hidden = masked_words.hide(said.ids, said.mask, self.recipe.masked_share, self.trainee.mask_id)
        with torch.no_grad():
            prefix = self.trainee.text_prefix(ids, said.mask)
        tokens = self.trainee.text_states(prefix, said.mask)
        rows: Tensor = self.head(tokens, states.repeat_interleave(each, dim=0), said.ids, hidden)
        return rows

    @contextmanager
    def _randomness(self, step: int, rank: int) -> Iterator[None]:
        """Seeds torch's generators for one step of one process."""
        words = np.random.SeedSequence([self.recipe.seed, step + 1, rank]).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
        yield

    # -- after an epoch -------------------------------------------------------------------------------------------

    def _end_epoch(self, state: _State) -> None:
        figures = None
        if self.dev_texts is not None:
            with self.average.applied():
                figures = self._evaluate()
            if _merit(figures) > state.best:
                state.best, state.best_epoch, state.after = _merit(figures), state.epoch, figures
                self._save_best()
            patience = self.recipe.patience
            state.stopped = bool(patience) and state.epoch - state.best_epoch >= patience
        else:
            state.best_epoch = state.epoch
            self._save_best()
        self._epoch_event(state.epoch, figures, state.loss)
        state.epoch, state.plan, state.place = state.epoch + 1, [], 0

    def _epoch_event(self, epoch: int, figures: Figures | None, loss: float | None = None) -> None:
        if self.log is None:
            return
        self.log.add("epoch", epoch=epoch, dev=figures, loss=loss)
        text = f"epoch {epoch} of {self.recipe.epochs}: loss {loss:.3f}" if loss is not None else "before training"
        if figures is not None:
            found = figures["text_to_image"]
            text += f", dev R@1 {found['R@1']:.2f} R@5 {found['R@5']:.2f} R@10 {found['R@10']:.2f}"
        log.info("%s", text)

    def _evaluate(self) -> Figures:
        """Retrieval on dev with the weights as they are; the first process's figures, in all of them."""
        assert self.dev is not None
        assert self.dev_texts is not None
        found: Figures = {}
        if self.world.first:
            vectors = self._text_vectors(self.dev_texts)
            owner = np.repeat(np.arange(len(self.dev)), [len(own) for own in self.dev.texts])
            found = retrieval(self._image_vectors(self.dev_images), vectors, owner)
        return self.world.tell(found)

    @torch.no_grad()
    def _image_vectors(self, source: ImageSource) -> NDArray[np.float32]:
        self.trainee.module.eval()
        rows = np.arange(len(source))
        found = []
        for start in range(0, len(rows), ENCODED):
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                states = self.trainee.image_states(source.plain(rows[start : start + ENCODED]))
                found.append(self.trainee.image_pool(states).float().cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def _text_vectors(self, source: TextSource) -> NDArray[np.float32]:
        self.trainee.module.eval()
        rows = np.arange(len(source))
        found = []
        for start in range(0, len(rows), ENCODED):
            texts = source.batch(rows[start : start + ENCODED], self.device)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                states = self.trainee.text_states(texts.prefix, texts.mask)
                found.append(self.trainee.text_pool(states, texts.mask, texts.ids).float().cpu().numpy())
        return np.concatenate(found)

    def _means(self) -> dict[str, Tensor]:
        return {name: mean.cpu() for name, mean in zip(self.trained, self.average.means, strict=True)}

    def _save_best(self) -> None:
        if self.world.first:
            self.run_files.save_best(self._means())

    def _save(self, state: _State) -> None:
        if self.log is None:
            self.world.wait()
            return
        facts = {key: value for key, value in vars(state).items() if key != "plan"}
        self.run_files.save(
            {
                "state": {**facts, "best": list(state.best)},
                "plan": [(torch.from_numpy(m.photos), torch.from_numpy(m.captions)) for m in state.plan],
                "weights": {name: p.detach().cpu() for name, p in self.trained.items()},
                "means": self._means(),
                "averaged": self.average.steps,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "log": self.log.position(),
            }
        )
        self.world.wait()

    def _finish(self, state: _State, keep_cache: bool) -> Outcome:
        """The best weights into the trainee and into the folder, with all that goes with them."""
        self.world.wait()
        best = self.run_files.load_best()
        assert best is not None
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(best[name])
        self.trainee.module.eval()
        outcome = Outcome(
            self.out, state.best_epoch, state.epoch - 1, state.step, state.before, state.after, len(self.pairs),
            self.pairs.captions, len(self.pairs.skipped), state.loss,
        )  # fmt: skip
        self.world.wait()  # all have read the weights before they are removed
        if self.log is not None:
            facts = self._facts(outcome)
            self.trainee.save(self.out, {"recipe": asdict(self.recipe), **facts})
            atomic_write(self.out / "MODEL_CARD.md", report.model_card(facts, self.recipe).encode())
            report.plot(self.log.read(), self.out / "training.png")
            self.run_files.finish(keep_cache)
        self.world.wait()
        return outcome

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        from mmsearch import __version__

        return {
            "version": __version__, "base": self.run_files.facts()["base"],
            "photos": outcome.photos, "captions": outcome.captions, "skipped": outcome.skipped,
            "dev_photos": len(self.dev) if self.dev is not None else 0,
            "dev_captions": self.dev.captions if self.dev is not None else 0,
            "epoch": outcome.epoch, "epochs_run": outcome.epochs_run, "steps": outcome.steps,
            "before": outcome.before, "after": outcome.after,
        }  # fmt: skip

    def _tell(self, phase: str, done: int, total: int, **facts: Any) -> None:
        if self.progress is not None:
            self.progress(TrainProgress(phase, done, total, **facts))

    def _teller(self, phase: str) -> Callable[[int, int], None]:
        return lambda done, total: self._tell(phase, done, total)


def contrastive(
    images: Tensor, texts: Tensor, photos: Tensor, scale: Tensor, bias: Tensor, recipe: Recipe
) -> dict[str, Tensor]:
    """The recipe's objectives on a whole batch, each times its weight.

    ``images`` (b, d); ``texts`` (b, c, d), the c captions of each photo, over which each objective is averaged;
    ``photos`` (b,) numbers the photos.
    """
    columns = texts.unbind(1)
    found: dict[str, Tensor] = {}
    if recipe.infonce:
        each = [losses.info_nce(images, column, scale, recipe.smoothing, photos) for column in columns]
        found["infonce"] = recipe.infonce * torch.stack(each).mean()
    if recipe.sigmoid:
        each = [losses.sigmoid(images, column, scale, bias, photos) for column in columns]
        found["sigmoid"] = recipe.sigmoid * torch.stack(each).mean()
    if recipe.hard:
        each = [losses.hard_negatives(images, column, scale, recipe.hard_count, photos) for column in columns]
        found["hard"] = recipe.hard * torch.stack(each).mean()
    if recipe.text_text and len(columns) > 1:
        each = [
            losses.info_nce(one, other, scale, recipe.smoothing, photos) for one, other in itertools.pairwise(columns)
        ]
        found["text_text"] = recipe.text_text * torch.stack(each).mean()
    return found


def _rows(pairs: Pairs) -> list[NDArray[np.int64]]:
    """The captions of each photo as rows of the flat list of captions."""
    ends = np.cumsum([len(own) for own in pairs.texts])
    return [np.arange(end - len(own), end) for end, own in zip(ends, pairs.texts, strict=True)]


def _keep(shape: Sequence[int], share: float, device: torch.device) -> Tensor | None:
    """A mask (n, s), True with probability ``1 - share``; the first state of a row always stays."""
    if not share:
        return None
    kept = torch.rand(tuple(shape), device=device) >= share
    kept[:, 0] = True
    return kept


def _merit(figures: Figures) -> tuple[float, float]:
    return figures["text_to_image"]["R@1"], figures["text_to_image"]["MRR"]


def _precision(wanted: str, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in."""
    if wanted == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if wanted == "fp16" and device.type != "cuda":
        raise TrainingError("fp16 needs a GPU; use bf16 or fp32 on a CPU")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
