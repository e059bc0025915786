"""What a generator is, and how it is trained: every choice with its meaning, saved beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.errors import TrainingError

LINEAR, MLP, FLOW, GAN, UNMATCHED = "linear", "mlp", "flow", "gan", "gan-unmatched"
WAYS = {
    LINEAR: "ridge regression, in closed form",
    MLP: "regression by a residual MLP, without noise",
    FLOW: "conditional flow matching (Lipman et al. 2023) that predicts the clean latent, as DALL-E 2's prior does",
    GAN: "conditional GAN with matching-aware negatives (Reed et al. 2016), hinge loss and spectral norm",
    UNMATCHED: "the same without matching-aware negatives",
}


@dataclass(frozen=True)
class GenerationRecipe:
    """One training run.  Raises TrainingError for values that make no sense."""

    way: str = FLOW  # one of WAYS
    steps: int = 600  # of the generator; a linear map has none
    batch: int = 256  # photos in a step, each with one of its captions
    width: int = 384  # of the trunk
    blocks: int = 2  # residual blocks of the trunk
    heads: int = 4  # of the attention over a text's words
    noise: int = 64  # values of noise that a GAN's generator gets
    region_rank: int = 64  # principal components that stand for the 7x7 region tokens
    ridge: float = 0.01  # of the linear map, as a share of the mean variance of its inputs
    lr: float = 5e-4  # of the generator
    critic_lr: float = 5e-4  # of the discriminator
    critic_steps: int = 2  # steps of the discriminator for one of the generator
    mismatched: float = 0.5  # share of the negatives that are real pictures with another text
    r1: float = 0.0  # weight of the gradient penalty on real pictures (Mescheder et al. 2018)
    reconstruction: float = 0.0  # weight of the squared error beside a GAN's loss
    weight_decay: float = 0.05  # of matrices
    dropout: float = 0.1  # of the trunk
    warmup: float = 0.05  # share of the steps
    clip: float = 1.0  # largest norm of a gradient
    ema: float = 0.99  # decay of the moving average of the weights, a step
    integration: int = 8  # Euler steps from noise to a latent
    samples: int = 8  # drawn for each text where dev is judged
    dev_every: int = 100  # steps between two looks at dev
    seed: int = 0

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise TrainingError(f"there is no way to generate called {self.way!r}; there are {', '.join(WAYS)}")
        for name in (
            "batch",
            "width",
            "blocks",
            "heads",
            "noise",
            "region_rank",
            "integration",
            "samples",
            "dev_every",
        ):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.way != LINEAR and self.steps < 1:
            raise TrainingError(f"steps must be at least 1, not {self.steps}")
        if self.width % self.heads:
            raise TrainingError(f"width must be a multiple of heads: {self.width} is none of {self.heads}")
        if not 0 <= self.mismatched < 1:
            raise TrainingError(f"mismatched must be in [0, 1), not {self.mismatched}")

    @property
    def adversarial(self) -> bool:
        return self.way in (GAN, UNMATCHED)

    @property
    def draws(self) -> bool:
        """Whether samples of one text differ."""
        return self.adversarial or self.way == FLOW
