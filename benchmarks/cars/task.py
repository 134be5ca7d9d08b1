"""Fuel use of real cars under one rule of shape, with few samples and with many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from torch import nn
from torch.utils.data import TensorDataset

from benchmarks.cars.exhibits import beside_peers
from benchmarks.cars.module import FuelModule
from benchmarks.cars.problem import FALLING, FEATURES, Split, judge, split
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import AugmentedLagrangian, Box, Embedding, GroupSort, Hard, MonotoneIn, ShapedNetwork, Soft
from dkmodels import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Cars", "Cars20", "Cars50", "Cars200"]

WIDTH, RATE, SOFT_WEIGHT = 32, 3e-3, 1.0


def _profiles(epochs: int) -> Mapping[str, Profile]:
    return {
        "quick": Profile(seeds=3, epochs=epochs, rounds=3, cost_seeds=1),
        "standard": Profile(seeds=10, epochs=epochs, rounds=5, cost_seeds=3),
        "full": Profile(seeds=30, epochs=epochs, rounds=10, cost_seeds=5),
    }


class Cars(Task):
    """Mileage of cars of 1970 to 1982; it does not rise with weight, displacement, power or age, all else equal."""

    name = "cars"
    description = (
        "Mileage of 392 real cars (Auto MPG) from nine inputs: it must not rise with weight, displacement, power or "
        "age. By a loss, by wrapping the network, or by an architecture; 254 cars to train on."
    )
    samples: ClassVar[int | None] = None
    profiles: ClassVar[Mapping[str, Profile]] = _profiles(120)

    def data(self, seed: int) -> Data:
        """Training, validation and test cars of a seed."""
        cars = split(seed, self.samples)
        parts = (TensorDataset(*part) for part in (cars.train, cars.test, cars.val))
        train, test, val = parts
        return Data(train=train, test=test, val=val, batch_size=32, extra=cars)

    def network(self, seed: int) -> nn.Module:
        """Two hidden layers with `GroupSort`, the activation that serves the wrap, in every arm."""
        return nn.Sequential(
            nn.Linear(len(FEATURES), WIDTH), GroupSort(), nn.Linear(WIDTH, WIDTH), GroupSort(), nn.Linear(WIDTH, 1)
        )

    def trainer_options(self) -> dict[str, Any]:
        """Validate sixty times a fit, however long its epochs are."""
        return {"check_val_every_n_epoch": max(1, self.profile.epochs // 60)}

    def rule(self) -> MonotoneIn:
        """More weight, displacement, power or age: not more miles to the gallon. Tested beside the data, too.

        Weight and displacement cost energy and friction whatever the driver does. Power and age are weaker knowledge:
        at the same weight a stronger engine works at a worse load, and later ones were better built, on the whole.
        """
        rule = MonotoneIn(
            FALLING, decreasing=True, region=Box(low=-2.5, high=2.5), name="thirst", unit="standard deviations"
        )
        rule.bind_inputs(FEATURES)
        return rule

    def rules(self) -> Mapping[str, Embedding]:
        """The rule as a loss, by a wrap, and by an architecture; what an architecture holds cannot be decoded."""
        return {
            "soft": Soft(self.rule(), weight=SOFT_WEIGHT),
            "lagrangian": AugmentedLagrangian(self.rule(), rho=SOFT_WEIGHT, growth=1.02, largest=100.0),
            "wrap": Hard(self.rule()),
            "shaped": Hard(self.rule()),
        }

    def arms(self) -> list[Arm]:
        """Each alone."""
        return strength_arms(self.rules())

    def contrasts(self) -> list[Contrast]:
        """Each against none, and what guarantees it against the loss."""
        against = {"wrap": ("soft",), "shaped": ("soft", "wrap")}
        return strength_contrasts("thirst", self.arms(), self.rules(), against)

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> FuelModule:
        """Adam for all arms; `shaped` puts an architecture of ours in the network's place."""
        if "shaped" in rules:
            columns = [FEATURES.index(name) for name in FALLING]
            network = ShapedNetwork(len(FEATURES), 1, [WIDTH, WIDTH], decreasing=columns)
        return FuelModule(network, rules, learning_rate=RATE)

    def metrics(self) -> Sequence[Metric]:
        """Errors on the test cars and along their curves; a tenth of a mile is worth a rule."""
        return [
            Metric(name="rmse", direction="min", unit="mpg", gain=0.1, primary=True),
            Metric(name="wrong_way", direction="min", unit="mpg", gain=0.05, primary=True),
            Metric(name="mae", direction="min", unit="mpg", gain=0.1),
            Metric(name="wrong_way_max", direction="min", unit="mpg", gain=0.5),
            Metric(name="wrong_curves", direction="min", gain=0.05, rate=True),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """See `judge`."""
        assert isinstance(data.extra, Split)
        return judge(lambda x: answers(module, x), data.extra)

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The arms beside peers on the same splits."""
        return [beside_peers(cells, costs, self.title())]


@final
class Cars20(Cars):
    """The same with 20 cars to train on."""

    name = "cars-20"
    description = "As cars, with 20 cars to train on and 10 to validate with."
    samples: ClassVar[int | None] = 20
    profiles: ClassVar[Mapping[str, Profile]] = _profiles(600)


@final
class Cars50(Cars):
    """The same with 50 cars to train on."""

    name = "cars-50"
    description = "As cars, with 50 cars to train on and 25 to validate with."
    samples: ClassVar[int | None] = 50
    profiles: ClassVar[Mapping[str, Profile]] = _profiles(360)


@final
class Cars200(Cars):
    """The same with 200 cars to train on."""

    name = "cars-200"
    description = "As cars, with 200 cars to train on."
    samples: ClassVar[int | None] = 200
    profiles: ClassVar[Mapping[str, Profile]] = _profiles(120)
