"""What the tests of all problems share: formulas as models, random networks, rules asked of them."""

from dataclasses import replace

import sympy
import torch
from torch import nn

from constraints import Hard
from constraints.embeddings import join


class Formula(nn.Module):
    """A known field in a network's place."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, points):
        return self.function(points)


def network(inputs, outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 9), nn.Tanh(), nn.Linear(9, outputs)).double()


def inside(domain, n=30, seed=0):
    """Points within a domain, `(n, d)`."""
    low, high = (torch.tensor([ends[i] for ends in domain.values()], dtype=torch.float64) for i in (0, 1))
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(n, len(domain), generator=generator, dtype=torch.float64)


def violation(rule, model, points):
    """The worst of all points."""
    model = model if isinstance(model, nn.Module) else Formula(model)
    points = points.requires_grad_()
    return float(rule.measure(model, points, model(points)).detach().max())


def held(rules, domain, inputs, outputs):
    """How far random networks, made to hold rules together, are from them."""
    model = join(network(inputs, outputs), {str(i): Hard(rule) for i, rule in enumerate(rules)})
    return max(violation(rule, model, inside(domain)) for rule in rules)


def is_hard(rule):
    return "Hard" in rule.explain().embeddings


def residual(rule, known):
    """What is left of a rule's equations when expressions stand for fields and learnt numbers, by sympy."""
    left = []
    for relation in rule.relations:
        gap = (relation.lhs - relation.rhs).subs(known).doit()
        left.append(sympy.simplify(sympy.expand(gap)))
    return left


def tell(rule, **numbers):
    """Set what a rule learns."""
    for symbol, one in rule.learnables.items():
        rule.raw[symbol.name].data.copy_(replace(one, initial=numbers[symbol.name]).start().data)
    rule.double()
