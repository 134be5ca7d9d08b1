"""Laws of sets that do not depend on the map: sides, scales, threads, transforms, and numbers that are none."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from constraints.errors import NonFiniteError, SpecificationError
from constraints.sets import Certifying, Constraint, ProjectableConstraint, Raise

__all__ = [
    "law_convex",
    "law_empty_batch",
    "law_finite",
    "law_floating",
    "law_modes",
    "law_reference",
    "law_scale",
    "law_sides",
    "law_threads",
    "law_transforms",
]

SCALES = (1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9, 1e12)


def law_sides(constraint: Constraint, values: Tensor, context: Tensor | None = None) -> None:
    """The violation is that of the residual, on both sides of an equality; only points inside have none.

    A set with a map is tried at the values, at their mirror images behind its boundary, and farther out.
    """
    residual = constraint.residual(values, context)
    k = min(constraint.equalities, residual.shape[-1])
    worst = torch.cat([residual[..., :k].abs(), residual[..., k:].clamp(min=0.0)], dim=-1).amax(dim=-1)
    violation = constraint.violation(values, context)
    torch.testing.assert_close(
        violation, worst, msg=lambda m: f"sides: the violation is not that of the residual, {k} equalities first. {m}"
    )
    if not isinstance(constraint, ProjectableConstraint):
        return
    inside = constraint.project(values, context)
    held = constraint.violation(inside, context)
    assert bool((held <= constraint.tolerance(inside, context)).all()), (
        f"sides: points of the set have violations of up to {float(held.max()):.3g}"
    )
    for tried in (values, 2.0 * inside - values, inside + 3.0 * (values - inside)):
        away = _flat(constraint, constraint.project(tried, context) - tried).abs().amax(dim=-1)
        outside = away > 1e-3 * _flat(constraint, tried).abs().amax(dim=-1)
        seen = constraint.violation(tried, context) > constraint.tolerance(tried, context)
        assert bool(seen[outside].all()), (
            f"sides: {int((outside & ~seen).sum())} points outside, by up to {float(away.max()):.3g}, have no violation"
        )
        assert not bool(constraint.check(tried, context)[outside].any()), "sides: check takes points outside for inside"


def law_modes(constraint: Constraint, values: Tensor, context: Tensor | None = None) -> None:
    """A set is the same in training and in evaluation."""
    training, evaluating = (copy.deepcopy(constraint).train(mode) for mode in (True, False))
    for name in ("violation", "tolerance", "residual", "project", "squash"):
        if hasattr(constraint, name):
            torch.testing.assert_close(
                getattr(evaluating, name)(values, context),
                getattr(training, name)(values, context),
                equal_nan=True,
                msg=partial(_wrong_mode, name),
            )


def law_convex(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """A set that is declared convex holds the points between its points."""
    inside = constraint.project(values.double(), _double(context))
    generator = torch.Generator().manual_seed(0)
    for size in (3.0, 3.0, 100.0):  # around the values, and far from them
        noise = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        other = constraint.project(values.double() + size * noise, _double(context))
        for share in (0.5, 0.1):
            between = torch.lerp(inside, other, share)
            worst = constraint.violation(between, _double(context))
            allowed = 8.0 * torch.stack(
                [constraint.tolerance(end, _double(context)) for end in (inside, other, between)]
            ).amax(dim=0)
            assert bool((worst <= allowed).all()), (
                f"convex: a point between two of the set is outside by {float(worst.max()):.3g}"
            )


def law_reference(
    constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None, *, samples: int = 4
) -> None:
    """No point of a set that is declared convex is nearer than its own answer, near the set and far from it.

    Tried are points on the way from the answer to the value, and the ends of a general solver (SLSQP of scipy) from
    several starts, each moved towards the answer until the set itself counts it as inside.
    """
    near = values.double()[:samples]
    far = 100.0 * near[:2]
    numbers = None if context is None else context.double()[:samples]
    for batch, own in ((near, numbers), (far, None if numbers is None else numbers[:2])):
        points = constraint.project(batch, own).detach()
        for i, (value, point) in enumerate(zip(batch, points, strict=True)):
            mine = None if own is None else own[i]
            starts = [point, value, points.roll(1, dims=0)[i]] if batch is near else [point]
            tried = [torch.lerp(point, value, share) for share in (1e-4, 1e-2, 0.1, 0.5)]
            if constraint.event_dim == 1 and value.shape[-1] <= 12 and float((value - point).abs().max()) > 0:
                tried += [end for start in starts if (end := _solved(constraint, value, mine, start)) is not None]
            gain = max(_gain(constraint, value, mine, point, other) for other in tried)
            assert gain <= 1e-6 * float(value.abs().max()), (
                f"reference: a point of the set is nearer by {gain:.3g}, of a value of size "
                f"{float(value.abs().max()):.3g}"
            )


def _gain(constraint: Constraint, value: Tensor, context: Tensor | None, point: Tensor, other: Tensor) -> float:
    """By how much another point, moved towards a point of the set until it is inside, is nearer; 0 where none is."""
    for share in (0.0, 1e-9, 1e-7, 1e-5, 1e-3):
        moved = torch.lerp(other, point, share)
        if bool(constraint.violation(moved, context) <= constraint.tolerance(moved, context)):
            return float((value - point).norm() - (value - moved).norm())
    return 0.0


def _solved(constraint: Constraint, value: Tensor, context: Tensor | None, start: Tensor) -> Tensor | None:
    """The end of SLSQP, in units of the distance between value and start; None where it fails."""
    k = constraint.equalities
    unit = max(float((start - value).norm()), 1e-3 * float(value.abs().max()))

    def residual(z: Tensor) -> Tensor:
        return constraint.residual(value + unit * z, context)

    def rows(z: NDArray[np.float64], which: slice, sign: float) -> NDArray[np.float64]:
        with torch.no_grad():
            found = sign * residual(torch.from_numpy(z))[which]
        numbers: NDArray[np.float64] = np.nan_to_num(found.numpy(), nan=-1e9, posinf=1e9, neginf=-1e9)
        return numbers

    def slopes(z: NDArray[np.float64], which: slice, sign: float) -> NDArray[np.float64]:
        found = sign * torch.autograd.functional.jacobian(residual, torch.from_numpy(z))[which]
        numbers: NDArray[np.float64] = np.nan_to_num(found.numpy(), nan=0.0, posinf=1e9, neginf=-1e9)
        return numbers

    parts: list[Any] = []
    count = constraint.residual(start, context).shape[-1]
    for kind, which, sign in (("eq", slice(0, k), 1.0), ("ineq", slice(k, None), -1.0)):
        if len(range(count)[which]):
            fun, jac = (partial(one, which=which, sign=sign) for one in (rows, slopes))
            parts.append({"type": kind, "fun": fun, "jac": jac})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflows on the way
        found = minimize(
            _half_square,
            ((start - value) / unit).detach().numpy(),
            jac=_slope,
            constraints=parts,
            method="SLSQP",
            options={"maxiter": 60, "ftol": 1e-14},
        )
    return value + unit * torch.from_numpy(found.x) if np.isfinite(found.x).all() else None


def _half_square(z: NDArray[np.float64]) -> float:
    return 0.5 * float((z**2).sum())


def _slope(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return z


def law_threads(
    constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None, *, threads: int = 8
) -> None:
    """Concurrent calls give what calls one by one give, in inference mode too."""
    with torch.no_grad():
        alone = constraint.project(values, context)

    def call(shift: int) -> Tensor:
        with torch.no_grad(), torch.inference_mode(shift % 2 == 1):
            rolled = constraint.project(values.roll(shift, dims=0), None if context is None else context.roll(shift, 0))
            return rolled.roll(-shift, dims=0)

    with ThreadPoolExecutor(threads) as pool:
        for together in pool.map(call, range(threads + 1)):
            torch.testing.assert_close(
                together.clone(), alone, msg=lambda m: f"threads: a concurrent call differs. {m}"
            )


def law_transforms(
    constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None, *, second_order: bool = True
) -> None:
    """`vmap` gives what a batch gives, `jacrev` what autograd gives, also within one another, and twice."""
    given = (values.double(),) if context is None else (values.double(), context.double())
    whole = constraint.project(*given)
    each = torch.func.vmap(constraint.project)(*given)
    torch.testing.assert_close(each, whole, msg=lambda m: f"transforms: vmap differs from a batch. {m}")
    torch.testing.assert_close(
        torch.func.vmap(constraint.violation)(*given),
        constraint.violation(*given),
        msg=lambda m: f"transforms: vmap of the violation differs from a batch. {m}",
    )
    slopes = torch.func.vmap(torch.func.jacrev(constraint.project))(*given)
    alone = torch.func.jacrev(constraint.project)(*(part[0] for part in given))

    def project_first(value: Tensor) -> Tensor:
        return constraint.project(value, *(part[0] for part in given[1:]))

    expected = torch.autograd.functional.jacobian(project_first, given[0][0])
    for slope, name in ((slopes[0], "vmap of jacrev"), (alone, "jacrev")):
        torch.testing.assert_close(slope, expected, msg=partial(_wrong, name))
    if not second_order:
        return
    # Cubes, so that second derivatives are not zero; all of them, with the context and mixed.
    which, first = tuple(range(len(given))), tuple(part[0] for part in given)

    def cubes(*tensors: Tensor) -> Tensor:
        return (constraint.project(*tensors) ** 3).sum()

    twice = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(cubes, which), which))(*given)
    bends = torch.autograd.functional.hessian(cubes, first)
    for row, rows in zip(twice, bends, strict=True):
        for bend, reference in zip(row, rows, strict=True):
            torch.testing.assert_close(bend[0], reference, msg=partial(_wrong, "jacrev of jacrev"))


def law_finite(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """A value that is NaN is refused, by name, number and place; an infinite one has a finite answer or is refused."""
    if not isinstance(getattr(constraint, "fallback", Raise()), Raise):
        return
    last = len(values) - 1
    for number in (torch.nan, torch.inf, -torch.inf):
        broken = values.clone()
        broken[last] = number
        refusal = _refusal(NonFiniteError, partial(constraint.project, broken, context))
        if refusal is None:
            point = constraint.project(broken, context)
            assert not broken.isnan().any(), f"finite: {number} is taken, and gave {point[last].tolist()}"
            assert bool(point.isfinite().all()), f"finite: {number} gave {point[last].tolist()}"
        else:
            assert "not finite, the first " in refusal, f"finite: the message names no place, got {refusal}"
            name = f"`{type(constraint).__name__}`"
            assert name in refusal, f"finite: the message does not name {name}, got {refusal}"


def law_floating(constraint: Constraint, values: Tensor, context: Tensor | None = None) -> None:
    """Whole, Boolean and complex numbers are refused by every method."""
    methods: list[Callable[[Tensor, Tensor | None], Tensor]] = [constraint.violation, constraint.check]
    if isinstance(constraint, ProjectableConstraint):
        methods.append(constraint.project)
    for dtype in (torch.int64, torch.int32, torch.bool, torch.complex64):
        for method in methods:
            whole = values.to(dtype)
            refusal = _refusal(SpecificationError, partial(method, whole, context))
            assert refusal is not None, f"floating: {method.__name__} takes {dtype}"
            assert str(dtype) in refusal, f"floating: the message does not name {dtype}, got {refusal}"


def law_empty_batch(constraint: Constraint, values: Tensor, context: Tensor | None = None) -> None:
    """No samples have no violations."""
    none, numbers = values[:0], None if context is None else context[:0]
    for method in (constraint.violation, constraint.tolerance, constraint.check):
        shape = tuple(method(none, numbers).shape)
        assert shape == (0,), f"empty batch: {method.__name__} needs shape (0,), got {shape}"
    if isinstance(constraint, Certifying):
        point, certificate = constraint.solve(none, numbers)
        shapes = {tuple(part.shape) for part in (certificate.violation, certificate.optimal, certificate.empty)}
        assert point.shape == none.shape and shapes == {(0,)}, f"empty batch: solve gave {tuple(point.shape)}, {shapes}"


def law_scale(
    make: Callable[[float], ProjectableConstraint],
    values: Tensor,
    context: Tensor | None = None,
    *,
    scales: Sequence[float] = SCALES,
    power: float = 2.0,
    accuracy: float = 1e-4,
) -> None:
    """A set of another size behaves as the set: its points are found, and points as far outside are told.

    Args:
        make: the set whose points are those of `make(1.0)` times a factor.
        values: `(batch, *event)`, for `make(1.0)`.
        context: numbers that scale with the set, where it has one.
        scales: the factors.
        power: the highest power of the values that the set takes: in float32 it must neither overflow nor underflow.
        accuracy: how far a point may be from that of `make(1.0)`, relative to the largest value.

    Example:
        >>> from constraints.sets import L2Ball
        >>> law_scale(lambda s: L2Ball(s), torch.randn(5, 3))
    """
    unit, numbers = values.double(), _double(context)
    original = make(1.0)
    reference = original.project(unit, numbers)
    size = float(unit.abs().max())
    for scale in scales:
        constraint = make(scale)
        for dtype in (torch.float32, torch.float64):
            if dtype == torch.float32 and not 1e-30 < scale**power < 1e30:
                continue
            given = (unit * scale).to(dtype)
            own = None if numbers is None else (numbers * scale).to(dtype)
            name = f"scale {scale:g} ({dtype})"
            point = constraint.project(given, own)
            gap = float((point.double() / scale - reference).abs().max())
            assert gap <= accuracy * size, f"{name}: the point is off by {gap:.3g} of the set's size"
            assert bool(constraint.check(point, own).all()), f"{name}: a point of the set is refused"
            away = (unit - reference).abs()
            outside = _flat(constraint, away).amax(dim=-1) > 0.02 * size
            off = torch.lerp(point, given, 0.1)
            told = ~constraint.check(off, own)
            assert bool(told[outside].all()), f"{name}: a violation as large as the set is taken for rounding"


def _wrong_mode(name: str, message: str) -> str:
    return f"modes: {name} differs between training and evaluation. {message}"


def _wrong(name: str, message: str) -> str:
    return f"transforms: {name} is wrong. {message}"


def _refusal(kind: type[Exception], call: Callable[[], object]) -> str | None:
    """The message of an error of that kind, or None."""
    try:
        call()
    except kind as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"a {kind.__name__} is needed, got {type(error).__name__}: {error}") from error
    return None


def _double(context: Tensor | None) -> Tensor | None:
    return None if context is None else context.double()


def _flat(constraint: Constraint, value: Tensor) -> Tensor:
    """One vector a value, `(*batch, n)`."""
    return value.flatten(-constraint.event_dim)
