"""One or two sets of every class, with values outside and the context of each; and families of every size."""

import sympy
import torch

from constraints import (
    Affine,
    Box,
    BoxEquality,
    Convex,
    Disjunction,
    GroupMean,
    HalfSpace,
    Intersection,
    L1Ball,
    L2Ball,
    LinfBall,
    NonlinearEquality,
    OrderedCone,
    PartialOrder,
    Polytope,
    RayMap,
    SecondOrderCone,
    SemidefiniteCone,
    Simplex,
    VaryingAffine,
    VaryingPolytope,
)

A, B, R = sympy.symbols("a b r")


def normal(*shape, seed=0):
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def circle(y, r):
    return (y * y).sum(-1, keepdim=True) - (r * r if len(r) else 1.0)


POSITIVE = normal(6, 1, seed=1).abs() + 0.1
SETS = {
    "box": (Box(low=-1.0, high=1.0), normal(6, 4), None),
    "affine": (Affine([[1.0, 2.0, -1.0]], [1.0]), normal(6, 3), None),
    "affine, context": (Affine([[1.0, 2.0, -1.0]]), normal(6, 3), normal(6, 1, seed=1)),
    "simplex": (Simplex(2.0), normal(6, 4), None),
    "simplex, context": (Simplex(), normal(6, 4), POSITIVE),
    "box and equality": (BoxEquality([1.0, -2.0, 0.5], target=0.7, low=-1.0, high=1.0), normal(6, 3), None),
    "box and equality, context": (BoxEquality([1.0, 2.0, 1.0], low=0.0), normal(6, 3), POSITIVE),
    "half-space": (HalfSpace([1.0, -2.0, 0.5], 0.3), normal(6, 3), None),
    "half-space, context": (HalfSpace([1.0, -2.0, 0.5]), normal(6, 3), normal(6, 1, seed=1)),
    "l1 ball": (L1Ball(1.5), normal(6, 4), None),
    "l1 ball, context": (L1Ball(), normal(6, 4), POSITIVE),
    "l2 ball": (L2Ball(1.5), normal(6, 4), None),
    "l2 ball, context": (L2Ball(), normal(6, 4), POSITIVE),
    "linf ball": (LinfBall(1.5), normal(6, 4), None),
    "linf ball, context": (LinfBall(), normal(6, 4), POSITIVE),
    "ordered": (OrderedCone(low=-1.0, high=1.0), normal(6, 5), None),
    "second-order cone": (SecondOrderCone(), normal(8, 4), None),
    "semidefinite": (SemidefiniteCone(3), normal(5, 3, 3), None),
    "group mean": (GroupMean("(g m) -> g", m=2), normal(6, 4), normal(6, 2, seed=1)),
    "group mean, low": (GroupMean("(g m) -> g", m=2, low=0.0), normal(6, 4), normal(6, 2, seed=1).abs()),
    "partial order": (PartialOrder([(1, 0), (2, 0)], size=3), normal(6, 3), None),
    "polytope": (Polytope([[1.0, 1.0], [1.0, -1.0]], high=[1.0, 0.5]), normal(6, 2), None),
    "polytope, context": (
        Polytope([[1.0, 1.0], [1.0, -1.0]], varies=True),
        normal(6, 2),
        torch.cat([-POSITIVE, -POSITIVE, POSITIVE, POSITIVE], dim=-1),
    ),
    "polytope, equality": (
        Polytope([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], low=0.0, equal=[[1.0, 1.0, 1.0]], target=[1.0]),
        normal(6, 3),
        None,
    ),
    "varying polytope": (
        VaryingPolytope(rows=1, size=2),
        normal(6, 2),
        torch.cat([normal(6, 1, 2, seed=3), -POSITIVE[:, None], POSITIVE[:, None]], dim=-1),
    ),
    "varying affine": (VaryingAffine(rows=1, size=2), normal(6, 2), normal(6, 1, 3, seed=3)),
    "ray map": (RayMap([L2Ball(2.0), Box(low=-1.0, high=1.5)], interior=[0.0, 0.0]), normal(6, 2), None),
    "intersection": (Intersection([L2Ball(2.0), HalfSpace([1.0, 0.0], 1.0)]), normal(4, 2), None),
    "disjunction": (Disjunction([Box(high=-1.0), Box(low=1.0)]), normal(6, 1), None),
    "surface": (NonlinearEquality(circle, size=2, conditions=1), normal(3, 2), None),
    "surface, context": (NonlinearEquality(circle, size=2, conditions=1), normal(3, 2), POSITIVE[:3]),
    "convex": (Convex([A**2 + B**2 <= 1], [A, B]), normal(3, 2), None),
    "convex, context": (Convex([A**2 + B**2 <= R], [A, B], [R]), normal(3, 2), POSITIVE[:3]),
}
FAMILIES = {
    "box": (lambda s: Box(low=-s, high=s / 2), normal(6, 4), None),
    "box, bounds of different sizes": (lambda s: Box(low=[-s, -1e3 * s], high=[1e-3 * s, s]), normal(6, 2), None),
    "affine": (lambda s: Affine([[1.0, 2.0, -1.0]], [s]), normal(6, 3), None),
    "affine, context": (lambda s: Affine([[1.0, 2.0, -1.0]]), normal(6, 3), normal(6, 1, seed=1)),
    "simplex": (Simplex, normal(6, 4), None),
    "simplex, context": (lambda s: Simplex(), normal(6, 4), POSITIVE),
    "box and equality": (
        lambda s: BoxEquality([1.0, -2.0, 0.5], target=0.7 * s, low=-s, high=s),
        normal(6, 3),
        None,
    ),
    "half-space": (lambda s: HalfSpace([1.0, -2.0, 0.5], 0.3 * s), normal(6, 3), None),
    "l1 ball": (L1Ball, normal(6, 4), None),
    "l2 ball": (lambda s: L2Ball(s, center=[s, 0.0, -s, 0.0]), normal(6, 4), None),
    "linf ball": (LinfBall, normal(6, 4), None),
    "ordered": (lambda s: OrderedCone(low=-s, high=s, gap=0.1 * s), normal(6, 5), None),
    "second-order cone": (lambda s: SecondOrderCone(), normal(8, 4), None),
    "semidefinite": (lambda s: SemidefiniteCone(3), normal(5, 3, 3), None),
    "group mean": (lambda s: GroupMean("(g m) -> g", m=2, low=0.0), normal(6, 4), normal(6, 2, seed=1).abs()),
    "partial order": (lambda s: PartialOrder([(1, 0), (2, 0)], size=3), normal(6, 3), None),
    "polytope": (lambda s: Polytope([[1.0, 1.0], [1.0, -1.0]], high=[s, 0.5 * s]), normal(6, 2), None),
    "polytope, equality": (
        lambda s: Polytope([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], low=0.0, equal=[[1.0, 1.0, 1.0]], target=[s]),
        normal(6, 3),
        None,
    ),
    "ray map": (
        lambda s: RayMap([L2Ball(2.0 * s), Box(low=-s, high=1.5 * s)], interior=[0.1 * s, 0.0]),
        normal(6, 2),
        None,
    ),
    "intersection": (lambda s: Intersection([L2Ball(2.0 * s), HalfSpace([1.0, 0.0], s)]), normal(4, 2), None),
    "disjunction": (lambda s: Disjunction([Box(high=-s), Box(low=s)]), normal(6, 1), None),
    "surface": (lambda s: NonlinearEquality(circle, size=2, conditions=1), normal(4, 2), POSITIVE[:4]),
    "convex": (lambda s: Convex([sympy.Float(s) ** 2 >= A**2 + 4 * B**2], [A, B]), normal(4, 2), None),
    "convex, exponential": (lambda s: Convex([sympy.exp(A / s) + B / s <= 2], [A, B]), normal(4, 2), None),
}
