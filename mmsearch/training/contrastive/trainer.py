"""The training loop: any ``Trainee``, captioned photos and a ``Recipe`` to a model folder.

All randomness of a step comes from (seed, step, rank), so a checkpoint needs no generator's state: a run that was
killed and goes on ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.errors import ConfigError, SourceError, TrainingError
from mmsearch.media.filesystem import atomic_write
from mmsearch.training.common import checkpoint, mining, optimize, report
from mmsearch.training.common.distributed import gather
from mmsearch.training.common.mining import Batch
from mmsearch.training.common.pairs import MARGIN, Pairs, Pictures
from mmsearch.training.common.progress import TrainProgress, counter
from mmsearch.training.common.session import (
    LOG_EVERY,
    Pace,
    RunOptions,
    Session,
    arithmetic,
    checked_loss,
    random_mask,
    report_step,
    seed_torch,
)
from mmsearch.training.contrastive import companions, gradcache, masked_words, prefix_cache, recall, summary
from mmsearch.training.contrastive.companions import Companions
from mmsearch.training.contrastive.objective import ExtraTerm, TermInput, contrastive
from mmsearch.training.contrastive.prefix_cache import ImageSource, TextSource
from mmsearch.training.contrastive.recall import Figures, Gains, Ranks, Vectors, selection_metric
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainee import Texts, Trainee

log = logging.getLogger(__name__)


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
    gain: Gains | None = None  # from before to after; None without dev photos
    companions: Companions | None = None  # what goes with the model beside its weights; of the first process


def train(
    trainee: Trainee, pairs: Pairs, dev: Pairs | None, recipe: Recipe, out: Path,
    extra_terms: Sequence[ExtraTerm] = (), options: RunOptions | None = None,
) -> Outcome:  # fmt: skip
    """Train; the moving average of the weights with the best text-to-image R@1 on dev is kept and saved to ``out``.

    Without ``dev`` the last average is kept.  Raises TrainingError when ``out`` is taken, cannot be resumed, or when
    the loss stops being a number; SourceError when no photo can be read; ConfigError for a recipe that makes no sense.
    """
    recipe.check()
    report.check_packages()
    if not trainee.hides_states and (recipe.region_dropout or recipe.word_dropout):
        raise ConfigError(f"{trainee.card_name} cannot hide regions or words: set region_dropout and word_dropout to 0")
    with torch.random.fork_rng():
        try:
            return ContrastiveTrainer(trainee, recipe, out, extra_terms, options or RunOptions()).run(pairs, dev)
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
    place: int = 0  # batches of it that are done
    plan: list[Batch] = field(default_factory=list)  # its batches; empty before it begins
    best: tuple[float, float] = (-1.0, -1.0)  # R@1 and MRR
    best_epoch: int = 0
    before: Figures | None = None
    after: Figures | None = None
    ranks_before: Ranks | None = None  # of the base model, for the interval of what was gained
    ranks_after: Ranks | None = None  # of the best epoch
    stopped: bool = False
    loss: float = math.nan


class ContrastiveTrainer:
    """One call of ``train``."""

    def __init__(
        self, trainee: Trainee, recipe: Recipe, out: Path, extra_terms: Sequence[ExtraTerm], options: RunOptions
    ) -> None:
        self.trainee, self.recipe, self.out, self.extra_terms = trainee, recipe, out, tuple(extra_terms)
        self.options, self.world, self.device = options, options.world, torch.device(options.device)
        self.progress = options.progress if self.world.first else None
        self.run_files = checkpoint.Run(out)
        self.dtype = arithmetic(recipe.precision, self.device)
        self.vectors = Vectors(trainee, self.device, self.dtype)

    def run(self, pairs: Pairs, dev: Pairs | None) -> Outcome:
        """From captioned photos to the folder of the trained model; ``dev`` are the dev photos."""
        self._open(pairs, dev)
        self._read(pairs, dev)
        self._learn()
        state = self._restore()
        if state.step == 0 and state.before is None and self.dev_texts is not None:
            state.ranks_before = state.ranks_after = self._evaluate()
            state.before = state.after = recall.figures(state.ranks_before)
            state.best = selection_metric(state.before)
            self._epoch_event(0, state.before)
        if state.step == 0:
            self.session.keep_best()
            self._save(state)
        saved = time.perf_counter()
        pace = Pace(state.step, saved)
        while not state.stopped and state.epoch <= self.recipe.epochs:
            if not state.plan:
                state.plan, state.place = self._plan(state.epoch), 0
            total = state.step - state.place + len(state.plan) * (self.recipe.epochs - state.epoch + 1)
            while state.place < len(state.plan):
                self._train_batch(state, total, pace)
                due = self.world.tell(time.perf_counter() - saved >= self.options.save_every)
                if due and state.place < len(state.plan):
                    self._save(state)
                    saved = time.perf_counter()
            self._end_epoch(state)
            self._save(state)
            saved = time.perf_counter()
        return self._finish(state)

    def _train_batch(self, state: _State, total: int, pace: Pace) -> None:
        """One step of ``total`` at the rate of its turn, in the log and for whoever listens."""
        batch, begun = state.plan[state.place], time.perf_counter()
        share = optimize.rate(state.step, total, self.recipe.warmup)
        optimize.set_rate(self.session.optimizer, share)
        state.loss, parts = self._step(batch, state.step)
        state.step += 1
        state.place += 1
        pace.add(batch.captions.size)
        now, rate = time.perf_counter(), share * self.recipe.lr
        if state.step < LOG_EVERY or state.step % LOG_EVERY == 0 or state.place == len(state.plan):
            self.session.add_event(
                "step", step=state.step, epoch=state.epoch, loss=state.loss, lr=rate,
                pairs_per_second=round(batch.captions.size / max(now - begun, 1e-9), 1), **parts,
            )  # fmt: skip
        report_step(
            self.progress, state.step, total, epoch=state.epoch, epochs=self.recipe.epochs, loss=state.loss, rate=rate,
            pairs_per_second=pace.pairs_per_second(now), seconds_left=pace.seconds_left(now, state.step, total),
        )  # fmt: skip

    # -- before the first step ------------------------------------------------------------------------------------

    def _open(self, pairs: Pairs, dev: Pairs | None) -> None:
        """The folder: new, or that of the run to go on with."""
        inputs = {
            "base": self.trainee.card_name,
            "base_weights": checkpoint.weights_hash(self.trainee.module),
            "pairs": pairs.digest,
            "dev": dev.digest if dev is not None else "",
            "processes": self.world.size,
            "recipe": asdict(self.recipe),
            "origin": self.options.origin,
        }
        if not self.options.resume:
            if self.world.first:
                self.run_files.start(inputs)
            self.world.wait()
            return
        found = self.run_files.unfinished()
        changed = [
            what
            for key, what in (
                ("pairs", "the captions"), ("dev", "the dev captions"), ("base_weights", "the base model"),
                ("recipe", "the recipe"), ("processes", "the number of processes"),
            )
            if found[key] != inputs[key]
        ]  # fmt: skip
        if changed:
            raise TrainingError(
                f"the run in {self.out} cannot be resumed: {', '.join(changed)} changed since it was started; "
                "bring back what it had, or start a new run in another folder"
            )

    def _read(self, pairs: Pairs, dev: Pairs | None) -> None:
        """Photos and captions, as far as the frozen layers take them."""
        recipe, trainee = self.recipe, self.trainee
        self.run_files.cache.mkdir(exist_ok=True)
        trainee.module.to(self.device)
        trainee.module.eval()
        margin = MARGIN if recipe.augment else 1.0
        self.pairs, pictures = Pictures.open(pairs, trainee.preprocess, margin, report=counter(self.progress, "photos"))
        if self.pairs.skipped and self.world.first:
            for item in self.pairs.skipped[:10]:
                log.warning("skipped %s: %s", item.path, item.reason)
            log.warning("%d of %d photos could not be read; training goes on", len(self.pairs.skipped), len(pairs))
        if len(self.pairs) < 2 * self.world.size:
            raise TrainingError(f"{len(self.pairs)} photos are too few: a caption needs other photos to be told from")
        self.images = self._images("train", pictures, len(self.pairs), recipe.views if recipe.augment else 1)
        flat = [text for own in self.pairs.texts for text in own]
        self.texts = prefix_cache.text_source(trainee, flat, self.device, counter(self.progress, "captions"))
        self.captions, self.groups = self.pairs.caption_rows(), self.pairs.groups()
        self.dev: Pairs | None = None
        self.dev_texts: TextSource | None = None
        if dev is not None and len(dev):
            try:
                seen = counter(self.progress, "dev photos")
                self.dev, dev_pictures = Pictures.open(dev, trainee.preprocess, report=seen)
            except SourceError as error:
                log.warning("no dev photo could be read, so the last epoch is kept: %s", error)
        if self.dev is not None:
            self.dev_images = self._images("dev", dev_pictures, len(self.dev), 1)
            flat = [text for own in self.dev.texts for text in own]
            self.dev_texts = prefix_cache.text_source(trainee, flat, self.device)

    def _learn(self) -> None:
        """Everything that learns."""
        recipe, trainee = self.recipe, self.trainee
        # CLIP's limit; some models come with a scale above it.
        self.largest = max(100.0, float(trainee.log_scale.detach().exp().max()))
        seed_torch(recipe.seed, 0, 0)
        self.head = self._head().to(self.device)
        learning = nn.ModuleDict({"model": trainee.module, "head": self.head})
        trained = {name: p for name, p in learning.named_parameters() if p.requires_grad}
        extra = [trainee.log_scale, trainee.bias, *self.head.parameters()]
        rates = optimize.Rates(recipe.lr, recipe.image_lr, recipe.text_lr, recipe.layer_decay, recipe.weight_decay)
        optimizer = optimize.optimizer(trainee.groups(), extra, rates)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.session = Session(self.out, trained, optimizer, recipe.ema, recipe.clip, scaler, self.options)

    def _images(self, name: str, pictures: Pictures, count: int, views: int) -> ImageSource:
        stored: NDArray[np.float16] | None = None
        if self.trainee.freezes_images and views:
            file = self.run_files.cache / f"{name}.npy"
            arguments = (self.trainee, pictures, count, views, file, self.device, self.recipe.seed)
            if self.world.first:
                prefix_cache.image_views(*arguments, counter(self.progress, "views"))
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
        found = self.session.restore(self.options.resume)
        if found is None:
            return _State()
        plan = [Batch(photos.numpy(), captions.numpy()) for photos, captions in found["plan"]]
        return replace(_State(plan=plan), **{**found["state"], "best": tuple(found["state"]["best"])})

    # -- one step -------------------------------------------------------------------------------------------------

    def _plan(self, epoch: int) -> list[Batch]:
        recipe = self.recipe
        near = None
        if recipe.mined and epoch > 1:  # before, a fresh pooling would have nothing to say
            near = mining.nearest(self.vectors.images(self.images), 4 * recipe.mined_group)
        rng = np.random.default_rng([recipe.seed, epoch, 0])
        return mining.epoch(
            self.captions, recipe.batch, recipe.captions_per_photo, rng, self.world.size, near, recipe.mined,
            recipe.mined_group,
        )  # fmt: skip

    def _step(self, chosen: Batch, step: int) -> tuple[float, dict[str, float]]:
        """One step on a batch: the loss, and its parts."""
        recipe, trainee = self.recipe, self.trainee
        trainee.module.train()
        self.head.train()
        own = self.world.share(len(chosen.photos))
        groups = torch.from_numpy(self.groups[chosen.photos]).to(self.device)
        prefix = self.images.draw(chosen.photos, step, own)
        texts = self.texts.batch(chosen.captions[own].reshape(-1), self.device)
        size = max(1, recipe.micro_batch // self.world.size) if recipe.micro_batch else len(prefix)
        each = chosen.captions.shape[1]
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
                kept = random_mask(states.shape[:2], recipe.region_dropout, self.device)
                images = trainee.image_pool(states, kept)  # (m, d)
                said = part[1]
                mask = said.mask
                words = random_mask(mask.shape, recipe.word_dropout, self.device)
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
            found = contrastive(images, vectors, groups, scale, trainee.bias, recipe)
            if rest:
                found["masked_words"] = recipe.masked_words * rest[0].mean()
            if self.extra_terms:
                batch = TermInput(prefix, torch.cat(seen), images, vectors)
                rng = np.random.default_rng([recipe.seed, step, 2, self.world.rank])
                for number, term in enumerate(self.extra_terms):
                    found[f"extra_{number}"] = term(trainee, rng, scale, batch)
            terms.update({name: round(float(value.detach()), 5) for name, value in found.items()})
            return torch.stack(list(found.values())).sum()

        self.session.begin_step()
        seed_torch(recipe.seed, step + 1, self.world.rank)
        loss = gradcache.run(parts, forward, objective, lambda value: self.session.scaler.scale(value).backward())
        value = checked_loss(loss, step)
        self.session.end_step()
        return value, terms if len(terms) > 1 else {}

    def _surprise(self, states: Tensor, said: Texts, each: int) -> Tensor:
        """How badly hidden words are guessed, a row for each caption; the frozen layers must not see them either."""
        ids, hidden = masked_words.hide(said.ids, said.mask, self.recipe.masked_share, self.trainee.mask_id)
        with torch.no_grad():
            prefix = self.trainee.text_prefix(ids, said.mask)
        tokens = self.trainee.text_states(prefix, said.mask)
        rows: Tensor = self.head(tokens, states.repeat_interleave(each, dim=0), said.ids, hidden)
        return rows

    # -- after an epoch -------------------------------------------------------------------------------------------

    def _end_epoch(self, state: _State) -> None:
        figures = None
        if self.dev_texts is not None:
            with self.session.average.applied():
                found = self._evaluate()
            figures = recall.figures(found)
            if selection_metric(figures) > state.best:
                state.best, state.best_epoch = selection_metric(figures), state.epoch
                state.after, state.ranks_after = figures, found
                self.session.keep_best()
            patience = self.recipe.patience
            state.stopped = bool(patience) and state.epoch - state.best_epoch >= patience
        else:
            state.best_epoch = state.epoch
            self.session.keep_best()
        self._epoch_event(state.epoch, figures, state.loss)
        state.epoch, state.plan, state.place = state.epoch + 1, [], 0

    def _epoch_event(self, epoch: int, figures: Figures | None, loss: float | None = None) -> None:
        if not self.world.first:
            return
        self.session.add_event("epoch", epoch=epoch, dev=figures, loss=loss)
        text = f"epoch {epoch} of {self.recipe.epochs}: loss {loss:.3f}" if loss is not None else "before training"
        if figures is not None:
            found = figures["text_to_image"]
            text += f", dev R@1 {found['R@1']:.2f} R@5 {found['R@5']:.2f} R@10 {found['R@10']:.2f}"
        log.info("%s", text)

    def _evaluate(self) -> Ranks:
        """Retrieval on dev with the weights as they are; the first process's ranks, in all of them."""
        assert self.dev is not None
        assert self.dev_texts is not None
        found: Ranks = {}
        if self.world.first:
            seen = counter(self.progress, "dev")
            found = recall.ranks(self.vectors, self.dev, self.dev_images, self.dev_texts, seen)
        return self.world.tell(found)

    def _save(self, state: _State) -> None:
        values = {key: value for key, value in vars(state).items() if key != "plan"}
        plan = [(torch.from_numpy(batch.photos), torch.from_numpy(batch.captions)) for batch in state.plan]
        self.session.save({**values, "best": list(state.best)}, plan=plan)

    def _finish(self, state: _State) -> Outcome:
        """The best weights into the trainee and into the folder, with all that goes with them."""
        self.session.load_best()
        self.trainee.module.eval()
        gain = None
        if self.dev is not None and state.ranks_before is not None and state.ranks_after is not None:
            gain = recall.gains(state.ranks_before, state.ranks_after, self.dev)
        outcome = Outcome(
            self.out, state.best_epoch, state.epoch - 1, state.step, state.before, state.after, len(self.pairs),
            self.pairs.captions, len(self.pairs.skipped), state.loss, gain,
        )  # fmt: skip
        if self.session.log is not None:
            if self.progress is not None:
                self.progress(TrainProgress("writing", 0, 1))
            results = self._results(outcome)
            self.trainee.save(self.out, {"recipe": asdict(self.recipe), **results})
            outcome = replace(outcome, companions=self._companions(outcome.epoch))
            card = summary.model_card(results, self.recipe, outcome.companions)
            atomic_write(self.out / "MODEL_CARD.md", card.encode())
            summary.plot(self.session.log.read(), self.out / "training.png", outcome.epoch)
            self.run_files.finish(self.options.keep_cache)
        self.world.wait()
        return outcome

    def _companions(self, epoch: int) -> Companions | None:
        """What the base model's folder has beside its weights, for the trained one; None where it has no folder."""
        base = self.trainee.base
        if base is None:
            return None
        material = companions.Material(self.pairs, self.dev, epoch == 0, self.options.reranker)
        return companions.complete(base, self.out, material, counter(self.progress, "relevance"))

    def _results(self, outcome: Outcome) -> dict[str, Any]:
        from mmsearch import __version__

        return {
            "version": __version__, "base": self.run_files.facts()["base"],
            "photos": outcome.photos, "captions": outcome.captions, "skipped": outcome.skipped,
            "dev_photos": len(self.dev) if self.dev is not None else 0,
            "dev_captions": self.dev.captions if self.dev is not None else 0,
            "epoch": outcome.epoch, "epochs_run": outcome.epochs_run, "steps": outcome.steps,
            "before": outcome.before, "after": outcome.after, "gain": outcome.gain,
        }  # fmt: skip
