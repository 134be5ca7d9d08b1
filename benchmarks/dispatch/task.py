"""Economic dispatch: a network predicts the cheapest set points, and the grid's rules say what it may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from benchmarks.dispatch.case14 import CAPACITY, DEMAND, LIMITS, MVA
from benchmarks.dispatch.exhibits import arms_table, worth
from benchmarks.dispatch.market import cheapest_dispatch, cost, demands, flows
from benchmarks.dispatch.rules import LineLimits, Operable, balance, generator_limits
from benchmarks.strengths import AGAINST, BASELINE, answers
from constraints import AugmentedLagrangian, Decode, Embedding, Hard, Soft
from dkmodels import KnowledgeModule, RegressionModule
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm, standard_arms, standard_contrasts
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import EXTRA, Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Dispatch", "DispatchProfile"]

CORE = ("balance", "line_limits", "generator_limits")
#: Price of a violation, $/h for each MW: dearer than any generator, so that no shortage pays.
PENALTY = 500.0
#: MW that count as nothing.
ALLOWED = 0.1
SOFT_WEIGHT = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class DispatchProfile(Profile):
    """Sizes of the benchmark.

    Attributes:
        train: training samples.
        test: test samples.
    """

    train: int = 1000
    test: int = 500


@final
class Dispatch(Task):
    """Set points of five generators from the demand at eleven buses."""

    name = "dispatch"
    description = (
        "Predict the cheapest dispatch of the IEEE 14-bus network under DC power flow; balance, line limits and "
        "generator limits are three rules, each of which can be left out."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": DispatchProfile(seeds=3, epochs=30, rounds=3, cost_seeds=1, train=400, test=200),
        "standard": DispatchProfile(seeds=10, epochs=100, rounds=5, cost_seeds=3),
        "full": DispatchProfile(seeds=16, epochs=200, rounds=5, cost_seeds=5, train=5000, test=2000),
    }

    @property
    def sizes(self) -> DispatchProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, DispatchProfile)
        return self.profile

    def data(self, seed: int) -> Data:
        """Random demands and their cheapest dispatch, in per unit."""
        rng = np.random.default_rng(seed_streams(seed)["split"])
        sizes = self.sizes
        demand = demands(sizes.train + sizes.test, rng)
        best = np.array([cheapest_dispatch(row) for row in demand])
        x, y = torch.from_numpy(demand).float(), torch.from_numpy(best).float()
        return Data(
            train=TensorDataset(x[: sizes.train], y[: sizes.train]),
            test=TensorDataset(x[sizes.train :], y[sizes.train :]),
            batch_size=50,
        )

    def network(self, seed: int) -> nn.Module:
        """Two hidden layers; it begins where every generator gives the same share of its greatest output.

        Outputs that begin below 0 would never get a gradient through a clip onto the generator limits.
        """
        last = nn.Linear(64, len(CAPACITY))
        with torch.no_grad():
            last.bias.copy_(torch.from_numpy(CAPACITY * DEMAND.sum() / CAPACITY.sum()))
        return nn.Sequential(nn.Linear(len(DEMAND), 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), last)

    # --- rules -------------------------------------------------------------------------------------------------

    def rules(self) -> Mapping[str, Embedding]:
        """The three rules as layers, as losses, as multipliers, and all of them as one projection at inference."""
        made = {"balance": balance, "line_limits": LineLimits, "generator_limits": generator_limits}
        return {
            **{name: Hard(make()) for name, make in made.items()},
            **{f"soft_{name}": Soft(make(), weight=SOFT_WEIGHT) for name, make in made.items()},
            **{f"lagrangian_{name}": AugmentedLagrangian(make(), rho=SOFT_WEIGHT, growth=1.1, largest=100.0)
               for name, make in made.items()},
            "decode": Decode(Operable()),
        }  # fmt: skip

    def arms(self) -> list[Arm]:
        """The factorial of the three layers, and all three in every other embedding."""
        soft, lagrangian = (tuple(f"{kind}_{name}" for name in CORE) for kind in ("soft", "lagrangian"))
        return [
            *standard_arms(CORE),
            Arm("soft", soft),
            Arm("lagrangian", lagrangian),
            Arm("decode", ("decode",)),
            Arm("soft + decode", (*soft, "decode")),
        ]

    def contrasts(self) -> list[Contrast]:
        """The standard questions of the layers; every other embedding against none; the layers against each of them."""
        rules = self.rules()
        kinds = {
            "soft": "Soft",
            "lagrangian": "AugmentedLagrangian",
            "decode": "Decode",
            "soft + decode": "Soft+Decode",
        }
        others = [
            Contrast(rule=name, embedding=kind, arm=name, baseline=BASELINE, family=EXTRA)
            for name, kind in kinds.items()
        ]
        against = [
            Contrast(rule="all three", embedding="Hard", arm="all", baseline=name, family=AGAINST) for name in kinds
        ]
        return [*standard_contrasts(standard_arms(CORE), {name: rules[name] for name in CORE}), *others, *against]

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> RegressionModule:
        """Mean squared error; the output's size is said, so that rules on all outputs can be joined."""
        names = [f"generator {index}" for index in range(len(CAPACITY))]
        return RegressionModule(network, rules, outputs=names, metrics={}, learning_rate=2e-3)

    # --- measuring ---------------------------------------------------------------------------------------------

    def metrics(self) -> Sequence[Metric]:
        """In money, in MW, and in dispatches that cannot be used."""
        return [
            Metric(name="regret", direction="min", unit="$/h", gain=20.0, primary=True),
            Metric(name="inoperable", direction="min", gain=0.01, rate=True, primary=True),
            Metric(name="rmse", direction="min", unit="MW", gain=0.2),
            Metric(name="imbalance", direction="min", unit="MW", gain=0.1),
            Metric(name="overload", direction="min", unit="MW", gain=0.1),
            Metric(name="beyond", direction="min", unit="MW", gain=0.1),
            Metric(name="stuck", direction="min", unit="generators", gain=0.5),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Regret, errors and violations, computed apart from the rules' own code."""
        assert isinstance(data.test, TensorDataset)
        x, wanted = data.test.tensors
        demand, best, given = (part.double().numpy() for part in (x, wanted, answers(module, x)))
        imbalance = np.abs(given.sum(axis=1) - demand.sum(axis=1))
        overload = (np.abs(flows(given, demand)) - LIMITS).clip(min=0.0)
        beyond = np.maximum(given - CAPACITY, -given).clip(min=0.0)
        violated = MVA * (imbalance + overload.sum(axis=1) + beyond.sum(axis=1))
        worst = MVA * np.maximum(imbalance, np.maximum(overload.max(axis=1), beyond.max(axis=1)))
        return {
            "regret": float((cost(given) - cost(best) + PENALTY * violated).mean()),
            "inoperable": (int((worst > ALLOWED).sum()), len(worst)),
            "rmse": MVA * float(np.sqrt(((given - best) ** 2).mean())),
            "imbalance": MVA * float(imbalance.mean()),
            "overload": MVA * float(overload.sum(axis=1).mean()),
            "beyond": MVA * float(beyond.sum(axis=1).mean()),
            "stuck": float((given.std(axis=0) < 1e-9).sum()),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The arms, and what each rule is worth."""
        return [arms_table(cells, costs), worth(cells)]
