"""The decoder from region tokens to pixels, the discriminator it is trained against, and the eyes that compare."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from mmsearch.encoders.export import graphs
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, fold_batch_norms
from mmsearch.training.generation.sketches.recipe import SIDE

CELL = 8  # pixels a side that the linear map draws of a region: 56 in all
FIRST = 16  # cells a side that the tokens' grid is stretched to; doubled from there


class _Residual(nn.Module):
    """Two 3x3 convolutions beside what they are given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return added


class SketchDecoder(nn.Module):
    """Region tokens (n, side², dim) -> RGB pixels (n, 3, 128, 128), 0 to 1 but for overshoots.

    A linear map of each region and its neighbours, fitted in closed form, draws colours and coarse shapes; the network
    adds what it learns beyond that.
    Grids are stretched bilinearly before a convolution, which leaves no checkerboard (Odena et al. 2016); the last
    doubling is a rearrangement of channels (Shi et al. 2016), because full-size convolutions cost most.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, side: int, width: int) -> None:
        super().__init__()
        self.dim, self.side, self.width = dim, side, width
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.middle = nn.Parameter(torch.full((3, CELL * side, CELL * side), 0.5), requires_grad=False)
        self.linear = nn.Conv2d(dim, 3 * CELL**2, 3, padding=1, bias=False).requires_grad_(False)
        half, third, last = width * 3 // 4, width // 2, width // 4
        self.start = nn.Conv2d(dim, width, 3, padding=1)
        self.coarse = _Residual(width)
        self.to_16, self.at_16 = nn.Conv2d(width, half, 3, padding=1), _Residual(half)
        self.to_32, self.at_32 = nn.Conv2d(half, third, 3, padding=1), _Residual(third)
        self.to_64 = nn.Conv2d(third, last, 3, padding=1)
        self.at_64 = nn.Conv2d(last, last, 3, padding=1)
        self.end = nn.Conv2d(last, 12, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]  # it has one

    def grid(self, tokens: Tensor) -> Tensor:
        """Tokens (n, side², dim) at unit scale, (n, dim, side, side)."""
        scaled: Tensor = (tokens - self.mean) / self.scale
        grid: Tensor = scaled.transpose(1, 2).unflatten(2, (self.side, self.side))
        return grid

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.grid(tokens)
        coarse = F.pixel_shuffle(self.linear(x), CELL) + self.middle
        x = self.coarse(self.start(x))
        x = self.at_16(self.to_16(F.interpolate(x, (FIRST, FIRST), mode="bilinear", align_corners=False)))
        x = self.at_32(self.to_32(_doubled(F.silu(x))))
        x = F.silu(self.to_64(_doubled(F.silu(x))))
        x = x + F.silu(self.at_64(x))
        pixels: Tensor = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return pixels + F.pixel_shuffle(self.end(x), 2)

    @torch.no_grad()
    def fit_linear(self, batches: Iterable[tuple[Tensor, Tensor]], ridge: float) -> None:
        """Ridge regression (Hoerl and Kennard 1970) of pixels from the tokens of 3x3 regions.

        ``batches`` are tokens (n, side², dim) and pixels (n, 3, 128, 128),.
        """
        small = CELL * self.side
        shown = [(tokens, F.interpolate(pixels, (small, small), mode="area")) for tokens, pixels in batches]
        self.middle.copy_(torch.cat([pixels for _, pixels in shown]).mean(dim=0))
        inputs = 9 * self.dim
        square, cross = torch.zeros(inputs, inputs), torch.zeros(inputs, 3 * CELL**2)
        for tokens, pixels in shown:
            x = F.unfold(self.grid(tokens), 3, padding=1).transpose(1, 2).flatten(0, 1)  # (n * side², inputs)
            y = F.pixel_unshuffle(pixels - self.middle, CELL).flatten(2).transpose(1, 2).flatten(0, 1)
            square += x.T @ x
            cross += x.T @ y
        square.diagonal().add_(ridge * float(square.diagonal().mean()))
        weights = torch.linalg.solve(square.double(), cross.double()).T  # (3 * CELL², inputs)
        self.linear.weight.copy_(weights.float().unflatten(1, (self.dim, 3, 3)))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, (2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=False)


class PatchCritic(nn.Module):
    """Whether patches of 46 pixels look like photos: pixels (n, 3, 128, 128) -> scores (n, 1, 15, 15).

    By patches (Isola et al. 2017), every layer with spectral norm (Miyato et al. 2018).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(3, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 3 * width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(3 * width, 1, 4, padding=1)),
        )  # fmt: skip

    def forward(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.layers(pixels - 0.5)
        return scores


class Eyes(nn.Module):
    """The lower stages of the embedded model's second tower, frozen: pixels -> states at strides of 4, 8 and 16.

    Pictures are alike where these are (perceptual loss: Johnson et al. 2016, arXiv:1603.08155).
    """

    STAGES = (1, 2, 4)

    def __init__(self) -> None:
        super().__init__()
        tower = ImageTower(EmbeddedConfig.read(EMBEDDED))
        fold_batch_norms(tower)
        tower.load_state_dict(graphs.read_weights(EMBEDDED / "image.onnx"))
        assert tower.second is not None
        self.tower = tower.second.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        backbone = self.tower.backbone
        x = backbone.bn1(backbone.conv_stem((pixels - self.tower.mean) / self.tower.std))
        states = []
        for number, stage in enumerate(backbone.blocks[: self.STAGES[-1] + 1]):
            x = stage(x)
            if number in self.STAGES:
                states.append(x)
        return states

    def distance(self, made: Tensor, real: Tensor) -> Tensor:
        """Mean squared difference of the states of (n, 3, side, side), each position's scaled to length 1."""
        with torch.no_grad():
            wanted = [F.normalize(x.float(), dim=1) for x in self(real)]
        found = [F.normalize(x.float(), dim=1) for x in self(made)]
        total = torch.stack([(x - y).square().sum(dim=1).mean() for x, y in zip(found, wanted, strict=True)])
        mean: Tensor = total.mean()
        return mean
