"""Registration finds the map by which a picture was moved, scaled and turned."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import SAMPLES

from mmsearch.media.registration import Affine, Plane, register, warped

WHOLE: Affine = (1, 0, 0, 0, 1, 0)
MAPS: dict[str, Affine] = {
    "as it is": WHOLE,
    "moved": (1, 0, 2.5, 0, 1, -3.25),
    "smaller": (1.04, 0, -1.5, 0, 1.02, -2),
    "turned": (0.9986, 0.0523, -3, -0.0523, 0.9986, 3),
}


def _photo(name: str = "coffee.png") -> Plane:
    with Image.open(SAMPLES / name) as image:
        return np.asarray(image.convert("L").resize((128, 128), Image.Resampling.LANCZOS), np.float32)


@pytest.mark.parametrize("name", MAPS)
def test_the_map_is_found(name: str) -> None:
    moving = _photo()
    fixed, covers = warped(moving, MAPS[name])
    fixed = np.where(covers, fixed, fixed[covers].mean())
    found = register(0.7 * fixed + 20, moving, WHOLE)  # darker, too
    corners = np.array([[x, y, 1] for x in (0, 128) for y in (0, 128)])
    lies, should = (corners @ np.reshape(one, (2, 3)).T for one in (found, MAPS[name]))
    assert np.abs(lies - should).max() < 0.25  # pixels


def test_what_only_one_picture_shows_does_not_pull() -> None:
    moving = _photo()
    fixed = warped(moving, MAPS["moved"])[0].copy()
    fixed[40:70, 40:60] = 255
    found = register(fixed, moving, WHOLE)
    assert np.abs(np.array(found) - np.array(MAPS["moved"])).max() < 0.1


def test_pictures_of_one_tone_give_a_map_of_numbers() -> None:
    one_tone = np.full((64, 64), 90, np.float32)
    assert np.isfinite(register(one_tone, one_tone, WHOLE)).all()
    assert np.isfinite(register(one_tone, _photo()[:64, :64], WHOLE)).all()
