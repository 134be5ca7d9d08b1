"""What a layer does with samples that it could not bring inside their set, and how a user hears of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, NonFiniteError, ShapeError, UncertifiedError
from constraints.functional import Certificate, certified_tolerance
from constraints.sets.constraint import ProjectableConstraint, as_buffer, require_finite, unguarded

__all__ = ["BestEffort", "Certifying", "Fallback", "Interior", "Raise", "certificates", "certified_point"]

_collected: ContextVar[list[tuple[str, Certificate]] | None] = ContextVar("collected", default=None)


@contextmanager
def certificates() -> Iterator[list[tuple[str, Certificate]]]:
    """Collect the certificates of every projection made within, as `(set, certificate)` in the order of the calls.

    Example:
        >>> from constraints.sets import Polytope
        >>> wedge = Polytope([[1.0, 1.0]], high=[1.0])
        >>> with certificates() as found:
        ...     _ = wedge.project(torch.ones(3, 2))
        >>> found[0][0], found[0][1].holds.tolist()
        ('Polytope', [True, True, True])
    """
    found: list[tuple[str, Certificate]] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def is_collecting() -> bool:
    """Whether certificates are collected."""
    return _collected.get() is not None


@runtime_checkable
class Certifying(Protocol):
    """A set whose projection comes with a certificate a sample: because it is iterative, or because the numbers that a
    sample brings may leave its set empty.
    """

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The point found `(*batch, n)`, and what is known of it."""


def certified_point(
    constraint: ProjectableConstraint, value: Tensor, context: Tensor | None = None
) -> tuple[Tensor, Certificate]:
    """The point that a set's projection found, `(*batch, n)`, without its fallback: for sets that consist of sets.

    A set that gives no certificate is taken at its word.

    Example:
        >>> from constraints.sets import Box
        >>> point, certificate = certified_point(Box(low=0.0), torch.tensor([-1.0, 1.0]))
        >>> point, bool(certificate.holds)
        (tensor([0., 1.]), True)
    """
    if isinstance(constraint, Certifying):
        return constraint.solve(value, context)
    point = unguarded(constraint, value, context)
    fine = torch.ones_like(point[..., 0], dtype=torch.bool)
    return point, Certificate(torch.zeros_like(point[..., 0]).detach(), certified_tolerance(value.dtype), fine, ~fine)


class Fallback(ABC):
    """What to do with samples whose point is not certified to be inside.

    Under `torch.compile` and `torch.export` nothing can be looked at: `Raise` becomes an assertion of the compiled
    program, and certificates are not collected.
    """

    @final
    def settle(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """The points to return, `(*batch, n)`; reports the certificate to `certificates()`."""
        if torch.compiler.is_compiling():
            return self.replace_all(owner, point, certificate)
        collected = _collected.get()
        if collected is not None:
            collected.append((owner, certificate))
        if bool(certificate.feasible.all()):
            return point
        return self.replace(owner, point, certificate)

    @abstractmethod
    def replace(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """Called where some samples are not inside."""

    def replace_all(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """The same without looking at the data."""
        return self.replace(owner, point, certificate)


@final
class Raise(Fallback):
    """Raise an error that says how many samples, which come first, and how far outside they are: the default.

    Example:
        >>> from constraints.sets import Polytope
        >>> between = Polytope([[1.0], [1.0]], varies=True)
        >>> between.project(torch.zeros(1, 1), torch.tensor([[1.0, 0.0, 3.0, 0.5]]))
        Traceback (most recent call last):
            ...
        constraints.errors.InfeasibleError: `Polytope` needs a set with a point for every sample, got 1 empty ones: ...
    """

    def replace(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """Raise `InfeasibleError` where a set is proved empty, else `UncertifiedError`."""
        unknown = certificate.violation.isnan()
        require_finite(owner, point, point.dim() - certificate.violation.dim())
        if bool(unknown.any()):
            first = unknown.nonzero()[0].tolist()
            place = f", the first is sample {first[0]}" if first else ""
            raise NonFiniteError(
                f"`{owner}` needs finite numbers as context, got {int(unknown.sum())} of {unknown.numel()} samples "
                f"whose numbers are not finite{place}"
            )
        outside = ~certificate.feasible
        count, total = int(outside.sum()), outside.numel()
        first = outside.nonzero()[:5].squeeze(-1).tolist() if outside.dim() else []
        worst = float(certificate.violation.nan_to_num(nan=torch.inf).max())
        told = f"{count} of {total} samples (first: {first}) are outside by up to {worst:.3g}, relative"
        empty = int((certificate.empty & outside).sum())
        if empty:
            raise InfeasibleError(
                f"`{owner}` needs a set with a point for every sample, got {empty} empty ones: {told}"
            )
        raise UncertifiedError(f"`{owner}` needs violations of at most {certificate.tolerance:.3g}: {told}")

    def replace_all(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """An assertion in the compiled program."""
        torch._assert_async(certificate.feasible.all(), f"`{owner}`: some samples are outside")
        return point


@final
class BestEffort(Fallback):
    """Return the best point found; `certificates()` tells which samples are outside.

    Example:
        >>> from constraints.sets import Polytope
        >>> between = Polytope([[1.0], [1.0]], varies=True, fallback=BestEffort())  # l1, l2, u1, u2 of each sample
        >>> limits = torch.tensor([[1.0, 0.0, 3.0, 2.0], [1.0, 0.0, 3.0, 0.5]])  # the second leaves no point
        >>> with certificates() as found:
        ...     between.project(torch.zeros(2, 1), limits)[0]
        tensor([1.])
        >>> found[0][1].feasible
        tensor([ True, False])
    """

    def replace(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """The points as they are, NaN and infinities replaced by 0."""
        return point.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


@final
class Interior(Fallback):
    """Return a point known to be inside for samples that are not.

    Args:
        point: `(n,)`, or of the shape of one value, inside the set of every sample.

    Example:
        >>> from constraints.sets import Polytope
        >>> between = Polytope([[1.0], [1.0]], varies=True, fallback=Interior([7.0]))
        >>> between.project(torch.zeros(2, 1), torch.tensor([[1.0, 0.0, 3.0, 2.0], [1.0, 0.0, 3.0, 0.5]]))
        tensor([[1.],
                [7.]])
    """

    def __init__(self, point: Sequence[float] | Tensor) -> None:
        self.point = as_buffer("Interior", "point", point)

    def replace(self, owner: str, point: Tensor, certificate: Certificate) -> Tensor:
        """The known point where the one found is outside."""
        event = point.shape[certificate.feasible.dim() :]
        if self.point.shape != event:
            raise ShapeError(f"`Interior` needs a point of shape {tuple(event)}, got {tuple(self.point.shape)}")
        feasible = certificate.feasible.reshape(*certificate.feasible.shape, *(1 for _ in event))
        return torch.where(feasible, point, self.point.to(point))
