"""Downscaling of water content: what a fine field must have in common with the coarse one it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.downscaling.exhibits import forms, slices
from benchmarks.downscaling.field import ROUGHER, USUAL, WETTER, Climate, coarsen, water_fields
from benchmarks.downscaling.network import Upsampler
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import (
    AugmentedLagrangian,
    BalanceForm,
    Decode,
    Embedding,
    GroupBalance,
    Hard,
    Multiplicative,
    ScaledAdditive,
    Soft,
    Softmax,
)
from dkmodels import KnowledgeModule, RegressionModule
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Downscaling", "Downscaling8", "DownscalingProfile"]

#: kg/m^2 that are 1 to the network: most of the usual climate lies below.
SCALE = 60.0
#: Weight of a coarse cell's squared gap beside a fine cell's squared error.
SOFT_WEIGHT = 10.0


@final
@dataclass(frozen=True, kw_only=True)
class DownscalingProfile(Profile):
    """Sizes of the benchmark.

    Attributes:
        train: training fields.
        test: test fields, of each climate.
        size: fine cells along each side.
        width: channels of the network.
        blocks: its residual blocks.
    """

    train: int = 800
    test: int = 200
    size: int = 32
    width: int = 24
    blocks: int = 2


class Downscaling(Task):
    """Fields with fronts, four times finer than the input, under the forms of one balance."""

    name = "downscaling"
    description = (
        "Make a generated field of water content four times finer: a coarse cell is the mean of its fine cells, by a "
        "loss, at inference, or by one of five layers; tested on wetter and rougher fields, too."
    )
    factor: ClassVar[int] = 4
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": DownscalingProfile(seeds=3, epochs=12, rounds=3, cost_seeds=1, train=256, test=100),
        "standard": DownscalingProfile(seeds=10, epochs=24, rounds=5, cost_seeds=3),
        "full": DownscalingProfile(seeds=8, epochs=60, rounds=5, cost_seeds=3, train=4000, size=64, width=32, blocks=4),
    }

    @property
    def sizes(self) -> DownscalingProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, DownscalingProfile)
        return self.profile

    # --- data and network --------------------------------------------------------------------------------------

    def data(self, seed: int) -> Data:
        """Fields of the usual climate to train on and to test on, and of two others to test on."""
        rng = np.random.default_rng(seed_streams(seed)["split"])
        sizes = self.sizes
        train, test = self._pairs(sizes.train, USUAL, rng), self._pairs(sizes.test, USUAL, rng)
        others = {
            name: self._pairs(sizes.test, climate, rng) for name, climate in (("wetter", WETTER), ("rougher", ROUGHER))
        }
        return Data(train=TensorDataset(*train), test=TensorDataset(*test), batch_size=32, extra=others)

    def _pairs(self, count: int, climate: Climate, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        fine = water_fields(count, self.sizes.size, climate, rng) / SCALE
        return torch.from_numpy(coarsen(fine, self.factor)).float(), torch.from_numpy(fine).float()

    def network(self, seed: int) -> nn.Module:
        """A small CNN."""
        return Upsampler(self.factor.bit_length() - 1, self.sizes.width, self.sizes.blocks)

    # --- rules -------------------------------------------------------------------------------------------------

    def balance(self, form: BalanceForm | None = None, *, low: float | None = None) -> GroupBalance:
        """Water is conserved: a coarse cell is the mean of its fine cells."""
        return GroupBalance(
            "(h a) (w b) -> h w",
            form,
            low=low,
            name="water",
            unit=f"{SCALE:g} kg/m^2",
            a=self.factor,
            b=self.factor,
        )

    def rules(self) -> Mapping[str, Embedding]:
        """The balance in every embedding, and as a layer in every form."""
        # Soft sums over coarse cells, the task's loss is a mean over fine ones.
        weight = SOFT_WEIGHT / (self.sizes.size // self.factor) ** 2
        return {
            "soft": Soft(self.balance(), weight=weight),
            "lagrangian": AugmentedLagrangian(self.balance(), rho=weight, growth=1.3, largest=100.0 * weight),
            "decode": Decode(self.balance()),
            "additive": Hard(self.balance()),
            "scaled_additive": Hard(self.balance(ScaledAdditive())),
            "multiplicative": Hard(self.balance(Multiplicative())),
            "softmax": Hard(self.balance(Softmax())),
            "simplex": Hard(self.balance(low=0.0)),
        }

    def arms(self) -> list[Arm]:
        """Each alone, and the loss with the projection after it."""
        return strength_arms(self.rules(), [("soft", "decode")])

    def contrasts(self) -> list[Contrast]:
        """Each against none; the projection in training against that at inference and the loss; forms against it."""
        others = dict.fromkeys(("scaled_additive", "multiplicative", "softmax", "simplex"), ("additive",))
        against = {"additive": ("decode", "soft", "soft + decode"), **others}
        return strength_contrasts("conservation", self.arms(), self.rules(), against)

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> RegressionModule:
        """Mean squared error, as in the paper."""
        return RegressionModule(network, rules, metrics={}, learning_rate=2e-3)

    # --- measuring ---------------------------------------------------------------------------------------------

    def metrics(self) -> Sequence[Metric]:
        """Errors in kg/m^2; a fiftieth of the error of a network without rules is worth a rule."""
        unit = "kg/m^2"
        return [
            Metric(name="rmse", direction="min", unit=unit, gain=0.03, primary=True),
            Metric(name="mass_violation", direction="min", unit=unit, gain=0.01, primary=True),
            Metric(name="mass_violation_max", direction="min", unit=unit, gain=0.1),
            Metric(name="negative", direction="min", gain=0.001),
            Metric(name="rmse_wetter", direction="min", unit=unit, gain=0.06),
            Metric(name="mass_violation_wetter", direction="min", unit=unit, gain=0.01),
            Metric(name="rmse_rougher", direction="min", unit=unit, gain=0.06),
            Metric(name="mass_violation_rougher", direction="min", unit=unit, gain=0.01),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Errors, violations and negative cells, on the usual climate and on the others."""
        assert isinstance(data.test, TensorDataset)
        x, target = data.test.tensors
        y = answers(module, x)
        gap = self._gap(y, x)
        found: dict[str, float | tuple[int, int]] = {
            "rmse": _rmse(y, target),
            "mass_violation": float(gap.mean()),
            "mass_violation_max": float(gap.max()),
            "negative": float((y < 0).double().mean()),
        }
        for name, (x_other, target_other) in data.extra.items():
            y = answers(module, x_other)
            found[f"rmse_{name}"] = _rmse(y, target_other)
            found[f"mass_violation_{name}"] = float(self._gap(y, x_other).mean())
        return found

    def _gap(self, y: Tensor, x: Tensor) -> Tensor:
        """How far each coarse cell is from its mean, in kg/m^2; computed apart from the rule's own code."""
        return SCALE * (nn.functional.avg_pool2d(y, self.factor) - x).abs().double()

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The forms, in and out of distribution."""
        return [forms(cells, costs, published=self.factor == 4), slices(cells)]


@final
class Downscaling8(Downscaling):
    """The same, eight times finer."""

    name = "downscaling-8x"
    description = "As downscaling, eight times finer."
    factor: ClassVar[int] = 8
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": DownscalingProfile(seeds=3, epochs=12, rounds=3, cost_seeds=1, train=256, test=100),
        "standard": DownscalingProfile(seeds=10, epochs=24, rounds=5, cost_seeds=3, train=400, size=48),
        "full": DownscalingProfile(seeds=8, epochs=60, rounds=5, cost_seeds=3, train=4000, size=64, width=32, blocks=4),
    }


def _rmse(y: Tensor, target: Tensor) -> float:
    return SCALE * float((y - target).double().square().mean().sqrt())
