"""A linear model and losses of it, whose gradients are known in closed form."""

import torch
from torch import nn

from constraints import Squares
from dkmodels.balance import Term

SCALES = (1.0, 10.0, 0.1)


class Linear:
    """Losses `mean (A w - b)^2` of the weights `w` of one layer."""

    def __init__(self, dtype=torch.float64, inputs=3, rows=6):
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(inputs, 1, bias=False).to(dtype)
        nn.init.constant_(self.layer.weight, 0.3)
        self.parts = [
            (
                scale * torch.randn(rows, inputs, generator=generator, dtype=torch.float64).to(dtype),
                torch.randn(rows, 1, generator=generator, dtype=torch.float64).to(dtype),
            )
            for scale in SCALES
        ]

    def terms(self):
        found = {}
        for name, (a, b) in zip(("task", "equation", "walls"), self.parts, strict=True):
            rows = torch.cat([a, b], dim=1)
            squares = Squares(lambda z: self.layer(z[:, :-1]) - z[:, -1:], rows, 1.0 / len(a))
            found[name] = Term(squares.loss(), lambda squares=squares: [squares])
        return found

    def gradients(self):
        """By hand, `(3, inputs)`, float64."""
        w = self.layer.weight.detach().double().mT
        return torch.stack(
            [(2.0 / len(a) * a.double().mT @ (a.double() @ w - b.double()))[:, 0] for a, b in self.parts]
        )

    def losses(self):
        w = self.layer.weight.detach().double().mT
        return torch.stack([(a.double() @ w - b.double()).square().mean() for a, b in self.parts])

    def descend(self, rate=1e-3):
        with torch.no_grad():
            self.layer.weight -= rate * self.gradients().sum(0).to(self.layer.weight)
