"""A pendulum's motion learnt from noisy swings: what mechanics is worth far beyond them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import sympy
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.fields import pendulum
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask, decades
from constraints import Embedding, Hard, Rule, Soft
from dkmodels import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile

__all__ = ["Pendulum", "SwingModule"]

STEPS = 12  # from a sample, compared with as many samples after it
LATE, AMPLITUDES = 30.0, (0.5, 1.5, 2.5)  # 4.7, 4.1 and 2.9 periods


@final
class SwingModule(KnowledgeModule):
    """The mean squared distance between samples and where the learnt field takes the one before them.

    Args:
        network: rates of states.
        rules: see `KnowledgeModule`.
        step: time between samples.
        **options: see `KnowledgeModule`.
    """

    def __init__(
        self, network: nn.Module, rules: Mapping[str, Embedding] | None = None, *, step: float, **options: Any
    ) -> None:
        super().__init__(network, rules, **options)
        self.times = step * torch.arange(STEPS + 1, dtype=torch.float64)

    def unpack(self, batch: Any) -> tuple[Tensor, Tensor]:
        """States, and samples from there on, their own first; of a grid, its points and their rates."""
        samples = batch[0]
        return (samples[:, 0], samples) if samples.dim() == 3 else super().unpack(batch)

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """By Runge and Kutta's steps."""
        if target.dim() < 3:  # a grid has rates, and no swings
            return (y - target).square().mean()
        found = pendulum.roll_out(self.network, target[:, 0], self.times, substeps=1)
        return (found - target).square().mean()


@final
class Pendulum(FieldTask):
    """A vector field from swings."""

    name = "pendulum"
    description = "A pendulum's rates from ten noisy swings; where others of like size are for 3 to 5 periods."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=2, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=4, rounds=5, cost_seeds=2),
        "full": Profile(seeds=20, epochs=8, rounds=10, cost_seeds=5),
    }
    hidden = (20, 2)
    names = ("f", "g")
    titles: ClassVar[Mapping[str, str]] = {
        "none": "swings alone",
        "conservation soft": "+ energy kept, Soft",
        "hamiltonian": "+ Hamiltonian by a potential",
        "mirror": "+ reversible by construction",
        "kinematics": "+ speed is the angle's rate, Hard",
        "conservation": "+ energy kept, Hard",
    }
    shown: ClassVar[Sequence[str]] = ("none", "hamiltonian", "mirror", "kinematics", "conservation")

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """Angle and speed."""
        return pendulum.DOMAIN

    @property
    def headline(self) -> tuple[str, str]:
        """Where a swing is for a long time."""
        return "late_error", "mean distance over 30 units of time"

    @property
    def sought(self) -> Mapping[str, str]:
        """For a long time."""
        return dict([self.headline]) | {"energy_drift": "largest change of energy"}

    def grid(self) -> Tensor:
        """81 x 81."""
        return pendulum.grid()

    def solution(self, points: Tensor) -> Tensor:
        """The true rates."""
        return pendulum.field(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """Volumes of states, reversal, energy."""
        return {
            "divergence": pendulum.hamiltonian(),
            "asymmetry": pendulum.mirror(),
            "energy_rate": pendulum.conservation(),
        }

    def data(self, seed: int) -> Data:
        """Each sample with those that follow it."""
        _, states = pendulum.trajectories(seed)
        windows = states.unfold(1, STEPS + 1, 1).transpose(-1, -2).flatten(0, 1)
        grid = self.grid()
        return Data(
            train=TensorDataset(windows), test=TensorDataset(grid, self.solution(grid)), batch_size=len(windows)
        )

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """Of any motion that keeps an energy, of mechanics, of the pendulum."""
        return {
            "conservation_soft": Soft(pendulum.conservation(), weight=0.1),
            "hamiltonian": Hard(pendulum.hamiltonian()),
            "mirror": Hard(pendulum.mirror()),
            "kinematics": Hard(pendulum.kinematics()),
            "conservation": Hard(pendulum.conservation()),
        }

    def arms(self) -> list[Arm]:
        """Each piece of mechanics alone."""
        names = {name: (name.replace(" ", "_"),) if name != "none" else () for name in self.titles}
        return [Arm(name, rules) for name, rules in names.items()]

    def contrasts(self) -> list[Contrast]:
        """Each piece against swings alone."""
        told = {"conservation soft": ("energy kept", "Soft"), "conservation": ("energy kept", "Hard")}
        pairs = {name: told.get(name, (name, "Hard")) for name in self.titles if name != "none"}
        return [
            Contrast(rule=rule, embedding=kind, arm=arm, baseline="none", family="added")
            for arm, (rule, kind) in pairs.items()
        ]

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """A Hamiltonian motion is one of an energy, which the network gives."""
        return (2, 1) if "hamiltonian" in rules else (2, 2)

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> KnowledgeModule:
        """Swings, and the rules of an arm."""
        times, _ = pendulum.trajectories(0)
        network = self.perceptron(*self.widths(rules)) if self.widths(rules) != (2, 2) else network
        return SwingModule(network, rules, step=float(times[1] - times[0]), optimizer=self.optimizer)

    def metrics(self) -> Sequence[Metric]:
        """How far a swing is off for a long time, then those of every field task."""
        others = [
            Metric(name=m.name, direction=m.direction, gain=m.gain) for m in super().metrics() if m.name != "log_error"
        ]
        return [
            Metric(name="log_late_error", direction="min", gain=0.1, primary=True),
            Metric(name="late_error", direction="min", gain=0.05),
            Metric(name="energy_drift", direction="min", gain=0.02),
            *others,
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Mean distance from the true swing over 30 units of time, and the largest change of energy, at three sizes."""
        found = super().evaluate(module, data, seed)
        times = torch.linspace(0.0, LATE, 601, dtype=torch.float64)
        truth = torch.stack([pendulum.solution(a, times) for a in AMPLITUDES])
        with torch.no_grad():
            late = pendulum.roll_out(module, truth[:, 0], times, substeps=1)
        late = late.nan_to_num(10.0, 10.0, -10.0).clamp(-10.0, 10.0)  # what has left, has left
        energy = pendulum.energy(late)
        distance = float((late - truth).norm(dim=-1).mean())
        found.update(late_error=distance, log_late_error=decades(distance))
        found["energy_drift"] = float((energy - energy[:, :1]).abs().amax())
        return found
