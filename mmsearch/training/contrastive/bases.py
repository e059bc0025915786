"""What can be trained, by the names that ``--model`` takes."""

from __future__ import annotations

from dataclasses import replace

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.hub import registry
from mmsearch.training.contrastive.recipe import OPEN_CLIP, Recipe
from mmsearch.training.contrastive.trainee import Trainee


def canonical(base: str) -> str:
    """The full name of ``embedded``, an open_clip name, or ``local-dir:FOLDER``.  Raises ModelError."""
    return base if base == "embedded" else registry.find(base).name


def default_recipe(base: str) -> Recipe:
    """What to start from: a model that was trained with a bias for the sigmoid loss goes on with that."""
    if _ours(base):
        return Recipe()
    described = registry.description(registry.find(base))
    return replace(OPEN_CLIP, infonce=0.0, sigmoid=1.0) if "init_logit_bias" in described else OPEN_CLIP


def load(base: str, recipe: Recipe, trust_pickle: bool = False) -> Trainee:
    """The model with the recipe's layers ready to be trained; with ``trust_pickle`` its weights may be a pickle.

    Raises ModelError, and ConfigError for its layers."""
    if _ours(base):
        from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee

        folder = EMBEDDED if base == "embedded" else registry.find(base).folder
        assert folder is not None
        return EmbeddedTrainee.load(folder, recipe.image_layers, recipe.text_layers, base)
    from mmsearch.training.contrastive.open_clip_trainee import OpenClipTrainee

    return OpenClipTrainee.load(base, recipe.image_layers, recipe.text_layers, trust_pickle)


def _ours(base: str) -> bool:
    if base == "embedded":
        return True
    folder = registry.find(base).folder
    return folder is not None and registry.is_model_folder(folder)
