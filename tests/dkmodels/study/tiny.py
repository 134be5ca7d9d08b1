"""A task that takes seconds: learn shares that sum to one."""

import os
import time

import torch
from torch import nn
from torch.utils.data import TensorDataset

from constraints import Bounds, Decode, FixedSum, Hard, LinearEquality, Soft
from dkmodels import RegressionModule
from dkmodels.random import seed_streams
from dkmodels.study import Arm, Contrast, Data, Metric, Profile, Task


class Tiny(Task):
    """Shares of a mixture."""

    description = "Learn shares that sum to one."
    profiles = {
        "quick": Profile(seeds=3, epochs=2, rounds=1, cost_seeds=2),
        "standard": Profile(seeds=4, epochs=2, rounds=1, cost_seeds=2),
    }

    def data(self, seed):
        g = torch.Generator().manual_seed(seed_streams(seed)["split"])
        x = torch.rand(96, 4, generator=g)
        y = torch.softmax(x @ torch.randn(4, 3, generator=g), dim=-1)
        return Data(train=TensorDataset(x[:64], y[:64]), test=TensorDataset(x[64:], y[64:]), batch_size=16)

    def network(self, seed):
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def rules(self):
        return {"shares": Hard(FixedSum()), "positive": Soft(Bounds(low=0.0)), "late": Decode(FixedSum())}

    def metrics(self):
        return [
            Metric(name="rmse", direction="min", gain=0.01, primary=True),
            Metric(name="violation/shares/mean", direction="min", gain=0.01),
        ]

    def module(self, network, rules):
        return RegressionModule(network, rules, outputs=["a", "b", "c"], learning_rate=0.02)


class Slow(Tiny):
    """Long enough to be killed."""

    name = "slow"

    def evaluate(self, module, data, seed):
        time.sleep(float(os.environ.get("TINY_SLEEP", "0.2")))
        return super().evaluate(module, data, seed)


class Failing(Tiny):
    """One arm fails at one seed, as long as a file is there."""

    name = "failing"

    def module(self, network, rules):
        return super().module(network, rules)

    def evaluate(self, module, data, seed):
        if seed == 1 and "positive" in module.rules and os.path.exists(os.environ.get("TINY_FAIL", "")):
            raise ZeroDivisionError("on purpose")
        return super().evaluate(module, data, seed)


class Dying(Tiny):
    """A process that is killed from outside."""

    name = "dying"

    def evaluate(self, module, data, seed):
        if seed == 1 and "positive" in module.rules:
            os._exit(9)
        return super().evaluate(module, data, seed)


class Contradicting(Tiny):
    def rules(self):
        return {"up": Hard(Bounds(low=1.0)), "down": Hard(Bounds(high=0.0))}


class Nameless(Tiny):
    def rules(self):
        return {"balance": Soft(LinearEquality([[1.0]], [1.0], outputs=["methane"]))}


class Broken(Tiny):
    def data(self, seed):
        data = super().data(seed)
        data.train.tensors[1][3, 1] = torch.nan
        return data


class Empty(Tiny):
    def data(self, seed):
        data = super().data(seed)
        nothing = TensorDataset(*(part[:0] for part in data.train.tensors))
        return Data(train=nothing, test=data.test)


class Hopeless(Tiny):
    """Every cell fails."""

    name = "hopeless"

    def rules(self):
        return {"shares": Hard(FixedSum())}

    def evaluate(self, module, data, seed):
        raise ZeroDivisionError("always")


class Dotted(Tiny):
    """A rule that no arm has, and that cannot be measured under its name."""

    def rules(self):
        return {"shares": Hard(FixedSum()), "plant.shares": Soft(FixedSum())}

    def arms(self):
        return [Arm("none"), Arm("shares", ("shares",))]


class Named(Tiny):
    """Arms in other alphabets, and a long one."""

    name = "named"

    def arms(self):
        return [Arm("α 1"), Arm("β 1", ("shares",)), Arm("x" * 300, ("positive",))]

    def contrasts(self):
        return [
            Contrast(rule="shares", embedding="Hard", arm="β 1", baseline="α 1", family="extra"),
            Contrast(rule="positive", embedding="Soft", arm="x" * 300, baseline="α 1", family="extra"),
        ]
