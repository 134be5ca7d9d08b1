"""Laws that every set, rule and embedding must pass. Run them on yours.

Each law raises an `AssertionError` that says which law failed, for which dtype and by how much. `check_set`,
`check_rule` and `check_embedding` run all that apply.

Example:
    >>> from constraints.sets import Box
    >>> check_set(Box(low=0.0, high=1.0), torch.linspace(-2.0, 2.0, 12).reshape(4, 3))
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from constraints.embeddings import Embedding, Hard, join
from constraints.errors import SpecificationError
from constraints.functional import default_tolerance
from constraints.networks import FiniteGroup
from constraints.rules import CellRule, Equivariance, FieldRule, Invariance, OutputRule, Rule
from constraints.sets import Certifying, Constraint, ProjectableConstraint, RayTraceable, Squashing
from constraints.sets.constraint import largest_tolerance
from constraints.sets.interior import find_interior
from constraints.testing.conventions import (
    law_convex,
    law_empty_batch,
    law_finite,
    law_floating,
    law_modes,
    law_reference,
    law_scale,
    law_sides,
    law_threads,
    law_transforms,
)
from constraints.testing.distance import law_distance

__all__ = [
    "check_embedding",
    "check_rule",
    "check_set",
    "law_batch_shape",
    "law_convex",
    "law_distance",
    "law_dtype",
    "law_empty_batch",
    "law_far",
    "law_feasible",
    "law_finite",
    "law_floating",
    "law_gauge",
    "law_gradcheck",
    "law_idempotent",
    "law_modes",
    "law_nearest",
    "law_reference",
    "law_scale",
    "law_serialises",
    "law_sides",
    "law_smooth",
    "law_squash",
    "law_symmetric",
    "law_threads",
    "law_transforms",
    "law_violation",
]


def check_set(
    constraint: Constraint, values: Tensor, context: Tensor | None = None, *, second_order: bool = True
) -> None:
    """Run every law of sets: of what a set declares (`convex`, `equalities`, a smooth map, a gauge) each is tested.

    Each law raises an `AssertionError` that begins with its name, also where the set itself fails.

    Args:
        constraint: the set.
        values: test values, `(batch, *event)`, some of them outside; random ones, away from kinks, suit gradcheck best.
        context: the set's input-dependent parameter, `(batch, k)`, where it has one.
        second_order: whether to test second derivatives too.
    """
    smooth = {"second_order": second_order}
    _run(law_violation, constraint, values, context)
    _run(law_sides, constraint, values, context)
    _run(law_floating, constraint, values, context)
    _run(law_empty_batch, constraint, values, context)
    _run(law_modes, constraint, values, context)
    _run(law_serialises, constraint)
    if isinstance(constraint, ProjectableConstraint):
        _run(law_finite, constraint, values, context)
        _run(law_threads, constraint, values, context)
        _run(law_transforms, constraint, values, context, **smooth)
        if constraint.convex:
            _run(law_convex, constraint, values, context)
            _run(law_nearest, constraint, values, context, others=8)
            _run(law_reference, constraint, values, context)
        for law in (law_feasible, law_idempotent, law_far, law_batch_shape, law_dtype):
            _run(law, constraint, values, context)
        _run(law_distance, constraint, values, context)
        _run(law_gradcheck, constraint, values, context, **smooth)
    if isinstance(constraint, Squashing):
        _run(law_squash, constraint, values, context, **smooth)
    if isinstance(constraint, RayTraceable) and context is None:
        origin = _inner_point(constraint, values.double())
        if origin is not None:
            _run(law_gauge, constraint, origin, values.double() - origin, **smooth)


def _run(law: Callable[..., None], *given: object, **options: object) -> None:
    """Run a law; the message of any error begins with its name."""
    name = law.__name__.removeprefix("law_").replace("_", " ")
    try:
        law(*given, **options)
    except AssertionError as error:
        if str(error).startswith(name):
            raise
        raise AssertionError(f"{name}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


def _inner_point(constraint: Constraint, values: Tensor) -> Tensor | None:
    """A point strictly inside a convex set; None where none is known, as in a set without an inside."""
    if isinstance(constraint, ProjectableConstraint):
        noise = torch.randn(16, *values.shape, generator=torch.Generator().manual_seed(0), dtype=values.dtype)
        point = constraint.project(values + 3.0 * noise).flatten(0, 1).mean(dim=0)
    else:
        try:
            point = find_interior([constraint], values.shape[-1])
        except SpecificationError:
            return None
    inside = constraint.residual(point).amax() < -1e3 * constraint.tolerance(point)
    return point if bool(inside) else None


def check_rule(rule: Rule, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Run every law of rules: violations are well formed, the explanation is true, enforced outputs obey.

    What the rule enforces or decodes leaves outputs alone of which it does not speak.

    Args:
        rule: the rule, bound to its outputs.
        model: the model that gave `y`.
        x: inputs, `(batch, d)`.
        y: outputs, `(batch, *event)`.
    """
    violation = rule.measure(model, x, y)
    assert violation.shape[:1] == y.shape[:1], (
        f"{rule.name}: one violation a sample, got shape {tuple(violation.shape)}"
    )
    assert bool((violation >= 0).all()), f"{rule.name}: violations are >= 0, got {float(violation.min())}"
    quantity = rule.evaluate(model, x, y)
    assert quantity.dtype == y.dtype, f"{rule.name}: quantity keeps the dtype {y.dtype}, got {quantity.dtype}"
    law_serialises(rule)
    possible = rule.explain().embeddings
    assert "Monitor" in possible, f"{rule.name}: every rule can be monitored, got {possible}"
    if not isinstance(rule, OutputRule):
        return
    for mode, tried in (("", rule), (" in evaluation mode", copy.deepcopy(rule).eval())):
        if "Hard" in possible:
            enforced = tried.enforce(y, x)
            _obeys(tried, model, x, enforced, f"enforce{mode}")
            _leaves_others(tried, y, enforced, f"enforce{mode}")
        if "Decode" in possible and type(rule).decode is not OutputRule.decode:
            decoded = tried.decode(y, x)
            _obeys(tried, model, x, decoded, f"decode{mode}")
            _leaves_others(tried, y, decoded, f"decode{mode}")


def check_embedding(embedding: Embedding, network: nn.Module, x: Tensor) -> None:
    """Run every law of embeddings: it measures, penalises with a gradient, guarantees what it says, and serialises.

    Args:
        embedding: the embedding, its rule bound.
        network: a network that maps `x` to outputs of the rule.
        x: inputs, `(batch, d)`.
    """
    name = type(embedding).__name__
    wrapped = join(network, {embedding.rule.name: embedding})
    y = wrapped(x)
    if isinstance(embedding, Hard):
        _obeys(embedding.rule, wrapped, x, y, name)
        tried = copy.deepcopy(wrapped).eval()
        y_evaluated = tried(x)
        _obeys(embedding.rule, tried, x, y_evaluated, f"{name} in evaluation mode")
        if isinstance(embedding.rule, OutputRule):  # in evaluation mode, as dropout gives other numbers at each call
            before = copy.deepcopy(network).eval()(x)
            _leaves_others(embedding.rule, before, y_evaluated, f"{name}, joined to the network,")
    if isinstance(embedding, Hard) and embedding.smooth:
        law_smooth(embedding, network(x).detach(), x)
    already = isinstance(embedding.rule, FieldRule) and embedding.rule.guaranteed(network)
    wraps = isinstance(embedding, Hard) and not already
    assert (wrapped is not network) == wraps, (
        f"{name}: only Hard wraps the network, and only one that does not obey yet"
    )
    penalty = embedding.penalty(wrapped, x, y)
    assert penalty.dim() == 0 and bool(penalty.isfinite()), f"{name}: the penalty is a finite scalar, got {penalty}"
    if embedding.penalises and bool((embedding.measure(wrapped, x, y) > 1e-3).any()):
        grads = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
        moved = any(g is not None and bool(g.abs().sum() > 0) for g in grads)
        assert moved, f"{name}: a violated rule must give the network a gradient"
    if not embedding.penalises:
        assert not penalty.requires_grad and float(penalty) == 0.0, f"{name}: no penalty, got {float(penalty)}"
    decoded = embedding.decode(y, x)
    assert decoded.shape == y.shape, f"{name}: decode keeps the shape {tuple(y.shape)}, got {tuple(decoded.shape)}"
    if isinstance(embedding.rule, OutputRule):
        _leaves_others(embedding.rule, y, decoded, f"decode of {name}")
    law_serialises(embedding)


def law_smooth(embedding: Hard, values: Tensor, x: Tensor) -> None:
    """A smooth Hard embedding obeys, passes a gradient of every sample on, and leaves other outputs alone.

    Args:
        embedding: one with `smooth=True`, its rule bound.
        values: what a network gave, `(batch, *event)`.
        x: its inputs, `(batch, d)`.
    """
    rule = embedding.rule
    assert isinstance(rule, OutputRule) and embedding.smooth, f"smooth: {rule.name} is not embedded smoothly"
    generator = torch.Generator().manual_seed(0)
    for factor in (0.0, 1.0, 10.0):
        given = (values * factor).requires_grad_()
        y = embedding.enforce(given, x)
        assert y.shape == given.shape and y.dtype == given.dtype, f"smooth: got {tuple(y.shape)}, {y.dtype}"
        _obeys(rule, nn.Identity(), x, y.detach(), "squash")
        spoken = rule.select(y)
        weights = torch.randn(spoken.shape, generator=generator, dtype=torch.float64).to(spoken)
        (grad,) = torch.autograd.grad((spoken * weights).sum(), given)
        assert bool(grad.isfinite().all()), f"{rule.name}: squash has a gradient that is not finite"
        alive = (rule.select(grad) != 0).reshape(len(grad), -1).any(dim=-1)
        assert bool(alive.all()), f"{rule.name}: squash has no gradient for {int((~alive).sum())} samples"
        _leaves_others(rule, given, y, "squash")


def law_symmetric(network: nn.Module, rule: Invariance | Equivariance, x: Tensor, *, draws: int = 3) -> None:
    """A network is invariant, or equivariant, to rounding: in evaluation mode, in float32 and float64.

    By every element of a finite group; by some random ones of any other. For networks of your own, too.

    Args:
        network: `(batch, ...)` to `(batch, ...)`.
        rule: the symmetry.
        x: inputs, `(batch, ..., *event)`.
        draws: how many random elements to try of a group that is not finite.

    Example:
        >>> from constraints.networks import column_shifts
        >>> class Total(nn.Module):
        ...     def forward(self, x):
        ...         return x.sum(dim=-1, keepdim=True)
        >>> law_symmetric(Total(), Invariance(column_shifts(4)), torch.randn(8, 4))
    """
    for dtype in (torch.float32, torch.float64):
        tried, points = copy.deepcopy(network).to(dtype).eval(), x.to(dtype)
        with torch.no_grad():
            y = tried(points)
            for _ in range(1 if isinstance(rule.representation.group, FiniteGroup) else draws):
                value = rule.observed(tried, points, y)
                worst, allowed = rule.constraint.violation(value), 8.0 * rule.constraint.tolerance(value)
                assert bool((worst <= allowed).all()), (
                    f"{rule.name} ({dtype}): the answer moved by {float(worst.max()):.3g} beyond rounding"
                )


def law_violation(constraint: Constraint, values: Tensor, context: Tensor | None = None) -> None:
    """Violations are `(*batch,)`, never negative, and NaN is never inside."""
    violation = constraint.violation(values, context)
    batch = values.shape[: values.dim() - constraint.event_dim]
    assert violation.shape == batch, f"violation: expected shape {tuple(batch)}, got {tuple(violation.shape)}"
    assert bool((violation >= 0).all()), f"violation: expected >= 0, got {float(violation.min())}"
    assert not bool(constraint.check(torch.full_like(values, torch.nan), context).any()), "check: NaN counted as inside"


def law_feasible(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """Projected values are inside, to the tolerance of their dtype, and certified to be."""
    for dtype in (torch.float32, torch.float64):
        given, ctx = values.to(dtype), None if context is None else context.to(dtype)
        y = constraint.project(given, ctx)
        worst = constraint.violation(y, ctx)
        allowed = constraint.tolerance(y, ctx)
        assert bool((worst <= allowed).all()), (
            f"feasible ({dtype}): violation {float(worst.max()):.3g} is beyond rounding"
        )
        if isinstance(constraint, Certifying):
            _, certificate = constraint.solve(given, ctx)
            assert certificate.empty.shape == worst.shape, f"feasible: one certificate a sample, got {certificate}"
            assert bool(certificate.feasible.all()) and not bool(certificate.empty.any()), (
                f"feasible ({dtype}): {int((~certificate.feasible).sum())} points inside are certified to be outside, "
                f"{int(certificate.empty.sum())} sets with a point to be empty"
            )


def law_idempotent(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """Projecting twice is projecting once, and a value inside stays where it is."""
    for dtype in (torch.float32, torch.float64):
        given, ctx = values.to(dtype), None if context is None else context.to(dtype)
        once = constraint.project(given, ctx)
        given, once, twice = (_flat(constraint, v) for v in (given, once, constraint.project(once, ctx)))
        apart = (twice - once).abs().amax(dim=-1)
        allowed = torch.maximum(default_tolerance(given, terms=given.shape[-1]), default_tolerance(once))
        assert bool((apart <= allowed).all()), (
            f"idempotent ({dtype}): second projection moved by {float(apart.max()):.3g}"
        )


def law_far(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """Values far outside are projected into the set, to rounding of their size, and stay there."""
    for dtype in (torch.float32, torch.float64):
        ctx = None if context is None else context.to(dtype)
        for scale in (1e3, 1e6):
            far = scale * values.to(dtype)
            once = constraint.project(far, ctx)
            twice = constraint.project(once, ctx)
            size = _flat(constraint, far)
            rounding = default_tolerance(size, terms=size.shape[-1])
            allowed = torch.maximum(constraint.tolerance(once, ctx), rounding)
            worst, moved = constraint.violation(once, ctx), _flat(constraint, twice - once).abs().amax(dim=-1)
            assert bool((worst <= allowed).all()), (
                f"far ({dtype}): of values times {scale:.0e}, the violation {float(worst.max()):.3g} is beyond rounding"
            )
            assert bool((moved <= allowed).all()), (
                f"far ({dtype}): of values times {scale:.0e}, the second projection moved by {float(moved.max()):.3g}"
            )


def law_nearest(
    constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None, *, others: int = 64
) -> None:
    """No other point found in the set is nearer: `<v - p, q - p> <= 0` for points `q` of a convex set."""
    v = values.double()
    p = constraint.project(v, context)
    generator = torch.Generator().manual_seed(0)
    # Around the value, and next to the answer: there a map to a point that is not the nearest shows in any dimension.
    away = 1e-5 * _flat(constraint, v - p).abs().amax(dim=-1)
    near = away.reshape(*away.shape, *[1] * (v.dim() - away.dim()))
    for i in range(others):
        noise = torch.randn(v.shape, generator=generator, dtype=v.dtype)
        q = constraint.project(v + 3.0 * noise if i % 2 else p + near * noise, context)
        angle = _flat(constraint, (v - p) * (q - p)).sum(dim=-1)
        scale = 1.0 + _flat(constraint, v).abs().amax(dim=-1) ** 2
        assert bool((angle <= 1e-9 * scale).all()), (
            f"nearest: a point of the set is nearer, by {float(angle.max()):.3g}"
        )


def law_batch_shape(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """Samples do not see each other: any batch shape gives the same rows."""
    whole = constraint.project(values, context)
    assert whole.shape == values.shape, f"batch shape: expected {tuple(values.shape)}, got {tuple(whole.shape)}"
    first = constraint.project(values[0], None if context is None else context[0])
    torch.testing.assert_close(first, whole[0], msg=lambda m: f"batch shape: a sample alone differs. {m}")
    deep = constraint.project(values[:, None], None if context is None else context[:, None])
    torch.testing.assert_close(deep[:, 0], whole, msg=lambda m: f"batch shape: a deeper batch differs. {m}")
    count = 1 + 512 // len(values)
    many = constraint.project(torch.cat([values] * count), None if context is None else torch.cat([context] * count))
    torch.testing.assert_close(many, torch.cat([whole] * count), msg=lambda m: f"batch shape: in a large batch. {m}")
    empty = constraint.project(values[:0], None if context is None else context[:0])
    assert empty.shape == values[:0].shape, "batch shape: an empty batch must stay empty"


def law_dtype(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """float32 in, float32 out; float64 in, float64 out, and the two agree."""
    low = constraint.project(values.float(), None if context is None else context.float())
    high = constraint.project(values.double(), None if context is None else context.double())
    assert low.dtype == torch.float32 and high.dtype == torch.float64, f"dtype: got {low.dtype} and {high.dtype}"
    scale = 1.0 + float(values.abs().max())
    gap = float((low.double() - high).abs().max()) if values.numel() else 0.0
    assert gap <= 1e-4 * scale, f"dtype: float32 and float64 differ by {gap:.3g}"


def law_gradcheck(
    constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None, *, second_order: bool = True
) -> None:
    """Gradients (and second derivatives) to the value and the context agree with differences."""
    inputs = [values.detach().double().requires_grad_()]
    if context is not None:
        inputs.append(context.detach().double().requires_grad_())
    _require_derivatives("gradcheck", constraint.project, inputs, second_order=second_order)


def law_squash(
    constraint: Constraint, values: Tensor, context: Tensor | None = None, *, second_order: bool = True
) -> None:
    """The smooth map stays inside at any size of the values, is alive, and its derivatives are right.

    Alive: a random linear functional of it has a gradient that is finite everywhere, and not 0 for values up to ten
    times those given (a sigmoid's underflows beyond).
    """
    assert isinstance(constraint, Squashing), f"squash: {type(constraint).__name__} has none"
    largest = float(values.abs().max())
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        ctx = None if context is None else context.to(dtype)
        for factor in (0.0, 1.0, 10.0, 1e4 / max(largest, 1e-30)):
            given = (values * factor).to(dtype).requires_grad_()
            y = constraint.squash(given, ctx)
            assert y.shape == given.shape and y.dtype == dtype, f"squash ({dtype}): got {tuple(y.shape)}, {y.dtype}"
            worst = constraint.violation(y.detach(), ctx)
            assert bool((worst <= constraint.tolerance(y.detach(), ctx)).all()), (
                f"squash ({dtype}): violation {float(worst.max()):.3g} at values up to {largest * factor:.3g}"
            )
            weights = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(dtype)
            (grad,) = torch.autograd.grad((y * weights).sum(), given)
            assert bool(grad.isfinite().all()), f"squash ({dtype}): gradient not finite at {largest * factor:.3g}"
            alive = (_flat(constraint, grad) != 0).any(dim=-1)
            assert factor > 10.0 or bool(alive.all()), f"squash ({dtype}): no gradient at {largest * factor:.3g}"
    inputs = [values.detach().double().requires_grad_()]
    if context is not None:
        inputs.append(context.detach().double().requires_grad_())
    _require_derivatives("squash", constraint.squash, inputs, second_order=second_order)


def law_gauge(constraint: Constraint, origin: Tensor, directions: Tensor, *, second_order: bool = True) -> None:
    """Rays end on the boundary: there the greatest residual is 0 to rounding, and the gauge is homogeneous.

    Args:
        constraint: a set with a `gauge`.
        origin: a point strictly inside, `(n,)`.
        directions: `(batch, n)`.
        second_order: whether to test second derivatives too.
    """
    assert isinstance(constraint, RayTraceable), f"gauge: {type(constraint).__name__} has none"
    for dtype in (torch.float32, torch.float64):
        p, d = origin.to(dtype), directions.to(dtype)
        gauge = constraint.gauge(p, d)
        assert gauge.shape == d.shape[:-1] and gauge.dtype == dtype, f"gauge: got {tuple(gauge.shape)}, {gauge.dtype}"
        assert bool((gauge >= 0).all()), f"gauge ({dtype}): expected >= 0, got {float(gauge.min()):.3g}"
        leaves = gauge > 0
        end = p + d / torch.where(leaves, gauge, 1.0).unsqueeze(-1)
        off = constraint.residual(end).amax(dim=-1).abs()
        allowed = 8.0 * largest_tolerance(constraint, end.abs() + p.abs())
        assert bool((off <= allowed)[leaves].all()), (
            f"gauge ({dtype}): rays end {float(off.max()):.3g} off the boundary"
        )
        far = p + 1e6 * d
        inside = constraint.residual(far).amax(dim=-1) <= constraint.tolerance(far)
        assert bool(inside[~leaves].all()), f"gauge ({dtype}): a ray with gauge 0 leaves"
        torch.testing.assert_close(
            constraint.gauge(p, 3.0 * d), 3.0 * gauge, msg=lambda m: f"gauge: not homogeneous. {m}"
        )
        assert bool((constraint.gauge(p, 0.0 * d) == 0).all()), "gauge: the origin's own gauge is 0"
    inputs = [origin.detach().double().requires_grad_(), directions.detach().double().requires_grad_()]
    _require_derivatives("gauge", constraint.gauge, inputs, second_order=second_order)


def law_serialises(module: nn.Module) -> None:
    """State dict (loaded with `weights_only=True`), pickle and deepcopy all give the module back."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    copied = copy.deepcopy(module)
    copied.load_state_dict(torch.load(file, weights_only=True))
    restored = pickle.loads(pickle.dumps(module))
    for other in (copied, restored):
        ours, theirs = dict(module.named_buffers()), dict(other.named_buffers())
        assert ours.keys() == theirs.keys(), f"serialises: buffers {ours.keys() ^ theirs.keys()} were lost or won"
        for key, buffer in ours.items():
            torch.testing.assert_close(theirs[key], buffer, equal_nan=True, msg=lambda m: f"serialises: {m}")


def _require_derivatives(law: str, function: Callable[..., Any], inputs: list[Tensor], *, second_order: bool) -> None:
    """Derivatives agree with differences, first ones and, of what has a gradient, second ones."""
    for order, check in (("first", gradcheck), ("second", gradgradcheck)):
        if order == "second" and not (second_order and function(*inputs).requires_grad):
            return
        try:
            right = check(function, inputs)
        except (RuntimeError, ValueError) as error:  # GradcheckError among them
            raise AssertionError(f"{law}: {order} derivatives do not agree with differences. {error}") from error
        assert right, f"{law}: {order} derivatives do not agree with differences"


def _flat(constraint: Constraint, value: Tensor) -> Tensor:
    """One vector a value, `(*batch, n)`."""
    return value.flatten(-constraint.event_dim)


def _leaves_others(rule: OutputRule, before: Tensor, after: Tensor, what: str) -> None:
    """A map of a rule changes no output of which the rule does not speak."""
    if rule.index is None:
        return
    others = torch.ones(after.shape[-1], dtype=torch.bool).index_fill(0, rule.index.cpu(), False)
    moved = (after[..., others] != before[..., others].to(after)).flatten(0, -2).any(dim=0)
    columns = others.nonzero().flatten()[moved.cpu()].tolist()
    assert not columns, f"{rule.name}: {what} moved outputs of others, {columns}: it speaks of {rule.index.tolist()}"


def _obeys(rule: Rule, model: nn.Module, x: Tensor, y: Tensor, how: str) -> None:
    worst = rule.measure(model, x, y)
    flat = y.reshape(len(y), -1)
    allowed = 1e-12 if isinstance(rule, CellRule) else 8.0 * default_tolerance(flat, terms=flat.shape[-1])
    shaped = worst.reshape(len(y), -1).amax(dim=-1)
    assert bool((shaped <= allowed).all()), f"{rule.name}: {how} left a violation of {float(worst.max()):.3g}"
