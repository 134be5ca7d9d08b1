"""What a set is: something that a value violates or not, and perhaps a map onto it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, ShapeError, SpecificationError, UnsupportedError
from constraints.functional import default_tolerance
from constraints.functional.certificate import Certificate, certified_tolerance
from constraints.sets.transforms import is_transformed, map_transformed

__all__ = ["Constraint", "ProjectableConstraint", "RayTraceable", "Squashing", "as_buffer", "keep_precision"]


class Constraint(nn.Module, ABC):
    """A set in which a quantity must lie.

    A set is described by its signed residual, one component a scalar condition: the first `equalities` components
    must be 0, the others at most 0. A set may depend on the input of the model through a `context` (a target, a
    total); what it means is said by each set.

    Attributes:
        event_dim: how many trailing dimensions form one value (1 for vectors, 2 for square matrices).
        equalities: how many leading residual components are equalities.
        size: length `n` of each event dimension, or None where any length is accepted.
        context_dim: how many trailing dimensions form the context of one sample.
    """

    event_dim: int = 1
    context_dim: int = 1
    equalities: int = 0
    size: int | None = None

    @abstractmethod
    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Signed residual, `(*batch, n)` to `(*batch, m)`: equalities are 0, inequalities <= 0 inside the set."""

    def excess(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Violation of each condition, `(*batch, m)`, >= 0: the residual without its feasible side."""
        residual = self.residual_where(value, context, self._binding)
        if self.equalities == 0:
            return residual.clamp(min=0.0)
        if self.equalities == residual.shape[-1]:
            return residual.abs()
        k = self.equalities
        return torch.cat([residual[..., :k].abs(), residual[..., k:].clamp(min=0.0)], dim=-1)

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """The residual, with derivatives at least where they are needed; elsewhere it may be a constant.

        A slack condition has no part in a penalty: that it has no slope there does not matter. Sets whose conditions
        have no slope somewhere override this.

        Args:
            value: `(*batch, n)`.
            context: the set's input-dependent parameter, where it has one.
            needed: from residuals to where their derivatives count, both `(*batch, m)`.
        """
        return self.residual(value, context)

    def _binding(self, residual: Tensor) -> Tensor:
        """Equalities, and inequalities that are violated."""
        equal = torch.arange(residual.shape[-1], device=residual.device) < self.equalities
        return equal | (residual > 0)

    def violation(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Largest violated condition, `(*batch, *event)` to `(*batch,)`: >= 0, and 0 iff inside."""
        self._require_shape(value)
        return self.excess(value, context).amax(dim=-1)

    def check(self, value: Tensor, context: Tensor | None = None, *, atol: float | None = None) -> Tensor:
        """Whether each sample is inside, `(*batch,)` bool; NaN is never inside.

        Args:
            value: `(*batch, n)`.
            context: the set's input-dependent parameter, where it has one.
            atol: tolerance in the value's unit; by default from the dtype, the size and the magnitude.
        """
        self._require_shape(value)
        tolerance = self.tolerance(value, context) if atol is None else atol
        return self.violation(value, context) <= tolerance

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Violation that rounding alone can cause, `(*batch,)`: what is violated by more is outside.

        It is the largest of `tolerances`; where conditions are violated by more than their own, the least of theirs, so
        that a large number does not hide what is broken beside it.
        """
        each = self.tolerances(value, context)
        if each.shape[-1] == 1:
            return each[..., 0]
        broken = self.excess(value, context).detach() > each
        least = torch.where(broken, each, torch.inf).amin(dim=-1)
        return torch.where(broken.any(dim=-1), least, each.amax(dim=-1))

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of each condition the violation that rounding alone can cause, `(*batch, m)`, or one of all, `(*batch, 1)`.

        By default from the dtype, the size and the magnitude of the whole value.
        """
        flat = value.flatten(-self.event_dim)
        return default_tolerance(flat, terms=flat.shape[-1])[..., None]

    def require_values(self, value: Tensor) -> None:
        """Refuse values that are not floating-point, of another shape, or NaN, before a map of a rule's own."""
        self._require_shape(value)
        if not torch.compiler.is_compiling() and not is_transformed(value):
            require_finite(type(self).__name__, value.nan_to_num(nan=torch.nan, posinf=0.0, neginf=0.0), self.event_dim)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Constraint:
        """Move with the module, but keep the precision: the numbers are cast to the value's dtype at each use."""
        moved: Constraint = keep_precision(self, super()._apply, fn, recurse)
        return moved

    def _require_numbers(self, value: Tensor) -> None:
        """Refuse values that are not floating-point numbers (whole ones would truncate bounds), or are none at all."""
        if not value.is_floating_point():
            raise SpecificationError(f"`{type(self).__name__}` needs floating-point values, got {value.dtype}")
        if 0 in value.shape[-self.event_dim :]:
            raise ShapeError(f"`{type(self).__name__}` needs values of at least one number, got {tuple(value.shape)}")

    def _require_context(self, value: Tensor, context: Tensor, width: int = 1) -> None:
        """Refuse a context that does not have `width` numbers for each sample, or one for all samples."""
        batch = value.shape[: value.dim() - self.event_dim]
        fits = context.dim() > 0 and context.shape[-1] == width
        if not fits or (context.shape[:-1] != batch and not _broadcasts(context.shape[:-1], batch)):
            raise ShapeError(
                f"`{type(self).__name__}` needs a context (*batch, {width}), got {tuple(context.shape)} for values "
                f"{tuple(value.shape)}"
            )

    def _require_shape(self, value: Tensor) -> None:
        self._require_numbers(value)
        event = tuple(value.shape[-self.event_dim :])
        if value.dim() < self.event_dim or (self.size is not None and event != (self.size,) * self.event_dim):
            lengths = ["n" if self.size is None else str(self.size)] * self.event_dim
            expected = f"(*batch, {', '.join(lengths)})"
            raise ShapeError(f"`{type(self).__name__}` needs a value of shape {expected}, got {tuple(value.shape)}")


class ProjectableConstraint(Constraint, ABC):
    """A set onto which values can be mapped: feasible, idempotent, differentiable.

    One convention holds for `project` and `squash` of every set. An answer that is not finite, because a value is NaN
    or infinite in a direction in which the set has no end, goes to the fallback of the set; by default, and where there
    is no fallback, `NonFiniteError` says how many there are and where the first is. Under `torch.compile` and
    `torch.export`, where numbers cannot be looked at, such samples come out as NaN and touch no others. Transforms of
    `torch.func` (`vmap`, `grad`, `jacrev`) see one operation over all samples, with two derivatives.

    Attributes:
        convex: whether the set is convex and `project` gives its nearest point, so that it can be intersected.
        closed_form: whether the map is a formula although it comes with a certificate, which then speaks of the context
            alone. What has no certificate (see `Certifying`) is a formula anyway.
    """

    convex: bool = True
    closed_form: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Bring the maps that a class defines under the conventions of all sets: see `_guarded`."""
        super().__init_subclass__(**options)
        for name in ("project", "squash"):
            if name in cls.__dict__ and not getattr(cls.__dict__[name], "__isabstractmethod__", False):
                setattr(cls, name, _guarded(cls.__dict__[name]))

    @abstractmethod
    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the set, `(*batch, n)` to `(*batch, n)`."""

    def _not_finite(self, point: Tensor) -> Tensor:
        """What to return for an answer that is not finite: sets with a fallback leave it to that."""
        fallback = getattr(self, "fallback", None)
        if fallback is None:
            require_finite(type(self).__name__, point, self.event_dim)
            return point
        broken = ~point.detach().isfinite().flatten(-self.event_dim).all(dim=-1)
        violation = torch.where(broken, torch.nan, 0.0).to(point)
        tolerance = certified_tolerance(point.dtype)
        found: Tensor = fallback.replace(
            type(self).__name__, point, Certificate(violation, tolerance, ~broken, torch.zeros_like(broken))
        )
        return found


@runtime_checkable
class Squashing(Protocol):
    """A set with a smooth map into it, beside the projection: for a network's last layer, whose gradient never dies.

    A projection is constant in some directions wherever the value is outside; there it passes no gradient on.
    """

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map all of R^n smoothly into the set, with a gradient that is nowhere zero; not idempotent."""
        ...


@runtime_checkable
class RayTraceable(Protocol):
    """A convex set that can tell where a ray from an interior point leaves it."""

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Smallest `k >= 0` with `origin + direction / k` inside, `(*batch,)`; 0 where the ray never leaves."""
        ...


Solve = TypeVar("Solve", bound=Callable[..., Any])
SetMap = Callable[[Any, Tensor, Tensor | None], Tensor]
"""`project` or `squash` of a class."""


def as_buffer(owner: str, name: str, numbers: Tensor | Sequence[object] | float, *, finite: bool = True) -> Tensor:
    """Turn a user's numbers into a float64 tensor, refusing NaN (and infinities where `finite`).

    Sets are factorised and stored in float64 and cast to the value's dtype where they are used, so that one rule
    serves float32 and float64 models at their full precision.
    """
    if isinstance(numbers, Tensor) and numbers.requires_grad:
        raise SpecificationError(
            f"`{owner}` needs fixed numbers for {name}, got a tensor that requires gradients: its factorisation would "
            f"not follow. For learnable numbers call the projections of `constraints.functional`"
        )
    tensor = torch.as_tensor(numbers, dtype=torch.float64)
    if tensor.isnan().any() or (finite and not tensor.isfinite().all()):
        kind = "finite numbers" if finite else "numbers that are not NaN"
        raise NonFiniteError(f"`{owner}` needs {kind} for {name}, got {tensor.tolist()}")
    return tensor.clone()  # what the user does to their tensor later must not change the set


def largest_tolerance(constraint: Constraint, value: Tensor) -> Tensor:
    """The largest tolerance of any condition at a magnitude, inside or not, `(*batch,)`."""
    if type(constraint).tolerance is Constraint.tolerance:
        return constraint.tolerances(value).amax(dim=-1)
    return constraint.tolerance(value)


def whole_batches(solve: Solve) -> Solve:
    """A projection whose steps depend on the data: `torch.compile` leaves it as a call, `torch.export` is refused."""

    @wraps(solve)
    def checked(self: Any, value: Tensor, context: Tensor | None = None) -> Any:
        if torch.compiler.is_compiling():
            raise UnsupportedError(
                f"`{type(self).__name__}` needs to run outside a graph, got a call within torch.export: how many steps "
                f"its projection takes depends on the data. Export the network without it, or use a set of closed form "
                f"or a `Polytope`"
            )
        if torch.is_inference_mode_enabled():
            return outside_inference(partial(solve, self), value, context)
        return solve(self, value, context)

    disabled: Solve = torch.compiler.disable(
        checked, reason="the steps of its projection depend on the data; use a set of closed form or a `Polytope`"
    )
    return disabled


def outside_inference(solve: Callable[..., Any], value: Tensor, context: Tensor | None) -> Any:
    """Call a map outside inference mode, in which its own derivatives would fail or be 0; without gradients."""
    with torch.inference_mode(False), torch.no_grad():
        return solve(value.clone(), None if context is None else context.clone())


def unguarded(constraint: ProjectableConstraint, value: Tensor, context: Tensor | None) -> Tensor:
    """A set's projection, whether it is finite or not: for sets that consist of sets."""
    project = type(constraint).project
    raw = getattr(project, "__wrapped__", project)
    point: Tensor = raw(constraint, value, context)
    return point


def require_finite(owner: str, value: Tensor, event_dim: int = 1, what: str = "values to project") -> None:
    """Refuse numbers that are not finite, saying how many there are and where the first is."""
    wrong = ~value.isfinite()
    count = int(wrong.sum())
    if count:
        first = wrong.nonzero()[0].tolist()
        at = tuple(first)
        place = f"sample {first[0]}, " if value.dim() > event_dim else ""
        index = first[0] if len(first) == 1 else at
        raise NonFiniteError(
            f"`{owner}` needs finite {what}, got {count} of {value.numel()} values that are not finite, the first at "
            f"{place}index {index}: {float(value[at].detach())}"
        )


def _guarded(function: SetMap) -> SetMap:
    """A map of a set that answers to `torch.func`, and refuses to return numbers that are not finite."""

    @wraps(function)
    def guarded(self: ProjectableConstraint, value: Tensor, context: Tensor | None = None) -> Tensor:
        if torch.compiler.is_compiling():
            return function(self, value, context)
        if is_transformed(value, context):
            return map_transformed(partial(guarded, self), value, context)
        if torch.is_inference_mode_enabled():
            mapped: Tensor = outside_inference(partial(guarded, self), value, context)
            return mapped
        point = function(self, value, context)
        if not bool(point.detach().isfinite().all()):
            return self._not_finite(point)
        return point

    return guarded


def _broadcasts(given: torch.Size, batch: torch.Size) -> bool:
    """Whether a shape can be expanded to that of the batch."""
    lengths = zip(reversed(given), reversed(batch), strict=False)
    return len(given) <= len(batch) and all(one in (1, length) for one, length in lengths)


def keep_precision(module: nn.Module, apply: Callable[..., Any], fn: Callable[[Tensor], Tensor], recurse: bool) -> Any:
    """Apply `fn` (a move, a cast) to a module, then give its own buffers their dtype back."""
    kept = {name: buffer for name, buffer in module._buffers.items() if buffer is not None}
    result = apply(fn, recurse)
    for name, buffer in kept.items():
        moved = module._buffers[name]
        if moved is not None and moved.dtype != buffer.dtype:
            module._buffers[name] = buffer.to(moved.device)
    return result
