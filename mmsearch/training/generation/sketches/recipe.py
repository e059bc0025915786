"""What the decoder is, and how it is trained: every choice with its meaning, saved beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.errors import TrainingError

SIDE = 128  # pixels a side of a sketch


@dataclass(frozen=True)
class SketchRecipe:
    """One training run.  Raises TrainingError for values that make no sense."""

    steps: int = 500
    batch: int = 16  # photos in a step
    width: int = 48  # channels where the grid is 7x7; finer grids have fewer
    linear_photos: int = 2000  # that the linear map is fitted to
    ridge: float = 0.01  # of the linear map, as a share of the mean square of its inputs
    crop: int = 64  # pixels a side of the part of each photo that states and the discriminator see in a step
    critic_width: int = 24  # channels of the discriminator's first layer
    lr: float = 2e-3  # of the decoder
    critic_lr: float = 4e-4  # of the discriminator
    pixels: float = 1.0  # weight of the mean absolute error of pixels
    perceptual: float = 0.1  # weight of the error of the embedded tower's states
    adversarial: float = 0.01  # weight of the discriminator's opinion
    settled: float = 0.6  # share of the steps before the discriminator joins in
    token_noise: float = 0.05  # spread of noise on tokens, beside their own: stored and imagined ones are not exact
    weight_decay: float = 0.01  # of kernels
    warmup: float = 0.05  # share of the steps
    clip: float = 1.0  # largest norm of a gradient
    ema: float = 0.995  # decay of the moving average of the weights, a step
    judged: int = 64  # photos of dev that a look at it takes
    dev_every: int = 100  # steps between two looks at dev
    precision: str = "bf16"  # that convolutions are computed in: bf16 or fp32
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "width", "linear_photos", "crop", "critic_width", "judged", "dev_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.precision not in ("bf16", "fp32"):
            raise TrainingError(f"precision must be bf16 or fp32, not {self.precision}")
        if self.width % 8:
            raise TrainingError(f"width must be a multiple of 8, not {self.width}")
        if not 32 <= self.crop <= SIDE:
            raise TrainingError(f"crop must be from 32 to {SIDE} pixels, not {self.crop}")
        if not 0 <= self.settled <= 1:
            raise TrainingError(f"settled must be in [0, 1], not {self.settled}")
        if min(self.pixels, self.perceptual, self.adversarial) < 0:
            raise TrainingError("weights of losses must not be below 0")
