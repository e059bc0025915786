"""What the tests trust: a graph that is filled is that of tracing the module anew, and nothing in it is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kept_graphs
import onnx
import pytest
import torch
from torch import Tensor, nn

from mmsearch.encoders.export import graphs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class Net(nn.Module):
    def __init__(self, seed: int, slope: float = 0.1) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.norm, self.wide, self.narrow = nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 1)
            self.rows = nn.Parameter(torch.randn(8, 16))
        self.slope = slope

    def forward(self, given: Tensor) -> Tensor:
        states = nn.functional.leaky_relu(self.wide(self.norm(given)), self.slope)
        found: Tensor = self.narrow(states) + given @ self.rows.view(2, 4, 16).flatten(0, 1).T
        return found


class Scaled(nn.Module):
    """Of its scale a graph has only what was computed from it."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, given: Tensor) -> Tensor:
        return given * self.scale.exp()


class Mixed(nn.Module):
    """Of its rows, too."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.rows = nn.Parameter(scale * torch.arange(16.0))

    def forward(self, given: Tensor) -> Tensor:
        return given * self.rows.exp()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which modules were traced, and not filled."""
    found: list[str] = []
    plain = graphs.traced

    def counted(module: nn.Module, *given: Any) -> onnx.ModelProto:
        found.append(type(module).__name__)
        return plain(module, *given)

    monkeypatch.setattr(graphs, "traced", counted)
    return found


def graph(module: nn.Module) -> onnx.ModelProto:
    with torch.no_grad():
        return graphs.traced(
            module.eval(), {"given": torch.zeros(2, 16)}, {"given": {0: torch.export.Dim.DYNAMIC}}, ["found"]
        )


def test_a_filled_graph_is_that_of_tracing_to_the_bit(tmp_path: Path, traced: list[str]) -> None:
    wanted = graph(Net(1))
    with kept_graphs.kept(tmp_path / "graphs"):
        first, found = graph(Net(0)), graph(Net(1))
        assert traced == ["Net", "Net"]  # the last one was not
        assert found.SerializeToString() == wanted.SerializeToString() != first.SerializeToString()
        graph(Net(1, slope=0.2))
        assert len(traced) == 3


@pytest.mark.parametrize("kind", [Scaled, Mixed])
def test_what_was_computed_from_weights_is_computed_anew(
    kind: type[Scaled | Mixed], tmp_path: Path, traced: list[str]
) -> None:
    with kept_graphs.kept(tmp_path / "graphs"):
        graph(kind(0.1))
        found = graph(kind(0.101))
    assert len(traced) == 2
    assert found.SerializeToString() == graph(kind(0.101)).SerializeToString()
