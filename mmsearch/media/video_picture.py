"""One frame of a film to a picture: upright, in RGB of 8 bits, no larger than it is needed.

FFmpeg gives frames as they are stored: lying where the camera lay, narrow where the dots of the screen are wide, in two
fields a sixtieth of a second apart, and in brightness beyond white (HDR).  All of that is set right here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_PQ, _HLG = 16, 18  # transfer characteristics (ITU-T H.273) of HDR
_UNSPECIFIED, _BT601, _BT709 = 2, 5, 1  # matrices
_HIGH = 576  # rows; above that a film that does not say is in the colours of HDTV, as players take it
_HALF = 1 << 15  # of 1.0 in a display matrix
_TURNS = {  # signs of a, b, c, d of a display matrix (row vectors: x' = ax + cy, y' = bx + dy) -> what does the same
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset((
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
))  # fmt: skip

# HDR: light of 203 cd/m² is white paper (ITU-R BT.2408); up to half of it stays as it is, above that light is
# compressed so that it never reaches the end of the scale.
_PAPER, _KNEE = 203.0, 0.5
_PEAK = 1000.0  # cd/m², of the screen that HLG is shown on
_FROM_2020 = np.array(  # linear light in the primaries of BT.2020 to those of BT.709 (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


@dataclass
class Shape:
    """How the frames of a film are shown.

    The matrix of a frame is read once for each angle.  Reading it makes PyAV's frame part of a cycle of references, so
    that it stays in memory until the garbage collector comes: 4 MB a frame of 720p.
    """

    aspect: float  # width to height of a dot
    _turns: dict[int, Image.Transpose | None] = field(default_factory=dict)

    def turn(self, frame: VideoFrame) -> Image.Transpose | None:
        """What brings it upright."""
        if frame.rotation not in self._turns:
            self._turns[frame.rotation] = turn_of(frame)
        return self._turns[frame.rotation]

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height as it is shown, upright."""
        width, height = _with_square_dots(frame.width, frame.height, self.aspect)
        return (height, width) if self.turn(frame) in _SIDEWAYS else (width, height)


def picture_of(frame: VideoFrame, shape: Shape, enough: int, longer: bool = False) -> Image.Image:
    """A frame upright in RGB; where its shorter side (or its ``longer`` one) is above ``enough``, scaled to that.

    Raises ValueError and OSError where its format of pixels cannot be converted.
    """
    width, height = _with_square_dots(frame.width, frame.height, shape.aspect)
    scale = min(1.0, enough / (max if longer else min)(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if frame.color_trc in (_PQ, _HLG):
        image = Image.fromarray(_tone_mapped(_array(frame, size, "rgb48le"), frame.color_trc))
    elif frame.interlaced_frame and frame.height > 2 * size[1]:
        # One field alone: the other one is of another moment, or lacks where keyframes were read alone.
        field = _array(frame, (size[0], frame.height), "rgb24")[::2]
        image = Image.fromarray(np.ascontiguousarray(field)).resize(size, Image.Resampling.BOX)
    else:
        image = Image.fromarray(_array(frame, size, "rgb24"))
    turn = shape.turn(frame)
    return image if turn is None else image.transpose(turn)


def turn_of(frame: VideoFrame) -> Image.Transpose | None:
    """What brings a frame upright, by its display matrix; of angles between, the nearest quarter turn."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    matrix = np.frombuffer(bytes(cast(Any, found))[:36], np.int32)  # 3 x 3, in the order of bytes of this machine
    a, b, c, d = (int(matrix[number]) for number in (0, 1, 3, 4))
    sideways = abs(b) + abs(c) > abs(a) + abs(d)
    kept = (0, _sign(b), _sign(c), 0) if sideways else (_sign(a), 0, 0, _sign(d))
    return _TURNS.get(kept)


def _sign(value: int) -> int:
    return 0 if abs(value) < _HALF // 2 else 1 if value > 0 else -1


def _with_square_dots(width: int, height: int, aspect: float) -> tuple[int, int]:
    return max(1, round(width * aspect)), height


def _array(frame: VideoFrame, size: tuple[int, int], format: str) -> NDArray[Any]:
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED:
        matrix = _BT709 if frame.height > _HIGH else _BT601
    small = frame.reformat(*size, format, src_colorspace=matrix, dst_colorspace=matrix, interpolation="AREA", threads=1)
    return small.to_ndarray()


def _tone_mapped(deep: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """HDR in 16 bits, (height, width, 3), to what a screen of today shows."""
    light = _light(transfer)[deep]  # linear, 1.0 is white paper
    if transfer == _HLG:  # the screen makes light of what the scene was (ITU-R BT.2100: a system gamma of 1.2)
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (_PEAK / _PAPER) * np.maximum(luminance, 1e-6)[..., None] ** 0.2
    light = np.maximum(light @ _FROM_2020.T, 0.0)
    most = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    rolled = np.where(most > _KNEE, _KNEE + (1 - _KNEE) * (1 - np.exp(-(most - _KNEE) / (1 - _KNEE))), most)
    light *= rolled / most  # all three alike: colours keep their hue
    mapped: NDArray[np.uint8] = _encoded()[np.minimum(light * 4095 + 0.5, 4095).astype(np.uint16)]
    return mapped


@lru_cache(maxsize=2)
def _light(transfer: int) -> NDArray[np.float32]:
    """Linear light for each of 65,536 values: of PQ relative to white paper, of HLG of the scene from 0 to 1."""
    value = np.linspace(0.0, 1.0, 65536)
    if transfer == _PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = value ** (1 / m2)
        linear = 10_000 / _PAPER * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        linear = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    return linear.astype(np.float32)


@lru_cache(maxsize=1)
def _encoded() -> NDArray[np.uint8]:
    """sRGB for each of 4,096 steps of linear light."""
    light = np.linspace(0.0, 1.0, 4096)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * coded).astype(np.uint8)
