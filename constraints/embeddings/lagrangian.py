"""Augmented Lagrangian: a loss whose weight finds itself."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn

from constraints.embeddings.embedding import Embedding
from constraints.errors import SpecificationError
from constraints.functional.precision import own_precision
from constraints.rules import Rule

__all__ = ["AugmentedLagrangian"]


@final
class AugmentedLagrangian(Embedding):
    r"""The rule as a constraint of the optimisation, by the method of multipliers.

    For a condition with residual `r` over the batch the loss gets, for equalities,
    :math:`\lambda \bar r + \frac\rho2 \overline{r^2}` and for inequalities
    :math:`\frac1{2\rho}\overline{\max(0, \lambda + \rho r)^2 - \lambda^2}` (Powell-Hestenes-Rockafellar). At the end of
    each epoch `update` moves every multiplier to :math:`\lambda + \rho\,\bar r`, or the mean of
    :math:`\max(0, \lambda + \rho r)`, over the epoch's samples (all processes of a distributed run), and multiplies
    :math:`\rho` by `growth` where the mean violation did not fall to `decrease` of what it was.

    One multiplier serves one condition for all samples; the quadratic term acts on each sample. A sample counts once,
    as it was before the step: trials of a line search do not (`repeat`), nor do batches with residuals that are not
    finite. What the epoch has shown so far is in the state dict, so that what is resumed within it loses nothing.

    Args:
        rule: the rule.
        rho: first weight of the quadratic term, > 0.
        growth: factor >= 1.
        decrease: in (0, 1).
        largest: where `rho` stops growing.

    Raises:
        SpecificationError: settings outside these ranges.

    Source: Bertsekas, "Constrained Optimization and Lagrange Multiplier Methods", 1982,
    doi:10.1016/C2013-0-10366-2.

    Example:
        >>> from constraints.rules import LinearEquality
        >>> al = AugmentedLagrangian(LinearEquality([[1.0]], [1.0]), rho=2.0)
        >>> _ = al.penalty(nn.Identity(), torch.zeros(1, 1), torch.tensor([[1.5]]))
        >>> al.update()
        >>> al.multiplier
        tensor([1.])
    """

    trains = True
    penalises = True
    multiplier: Tensor
    rho: Tensor
    previous: Tensor

    def __init__(
        self, rule: Rule, *, rho: float = 1.0, growth: float = 1.5, decrease: float = 0.9, largest: float = 1e4
    ) -> None:
        super().__init__(rule)
        if not (0 < rho <= largest < math.inf and 1 <= growth < math.inf and 0 < decrease < 1):
            raise SpecificationError(
                f"`AugmentedLagrangian` needs 0 < rho <= largest, growth >= 1 and 0 < decrease < 1, got rho={rho}, "
                f"largest={largest}, growth={growth}, decrease={decrease}"
            )
        self.growth, self.decrease, self.largest = growth, decrease, largest
        self.register_buffer("multiplier", torch.zeros(1))
        self.register_buffer("rho", torch.tensor(float(rho)))
        self.register_buffer("previous", torch.tensor(math.inf))
        # Sums over the epoch differ from process to process, so they are not buffers: DDP would overwrite them with
        # those of rank 0 at every forward pass.
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None
        self._repeats = False

    def penalty(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The augmented part of the Lagrangian, `()`; adds to the epoch's sums while training.

        It may be negative, as a Lagrangian is.
        """
        constraint = self.rule.constraint
        value, context = self.differentiable(model, x, y)

        def pulls(residual: Tensor) -> Tensor:
            equal = torch.arange(residual.shape[-1], device=residual.device) < constraint.equalities
            return equal | (self.multiplier.to(residual) + self.rho.to(residual) * residual > 0)

        with own_precision(y), self.named():
            residual = constraint.residual_where(value, context, pulls)
        residual = residual.reshape(-1, residual.shape[-1])
        self._fit(residual)
        equal = torch.arange(residual.shape[-1], device=residual.device) < constraint.equalities
        multiplier, rho = self.multiplier.to(residual), self.rho.to(residual)
        shifted = multiplier + rho * residual
        shifted = torch.where(equal, shifted, shifted.clamp(min=0.0))
        if self.training and not self._repeats:
            self._add(shifted.detach(), torch.where(equal, residual.detach().abs(), residual.detach().clamp(min=0.0)))
        self._repeats = False
        losses = ((shifted.square() - multiplier.square()) / (2.0 * rho)).sum(dim=-1)
        return losses.mean() if losses.numel() else losses.sum()  # no samples violate nothing

    def repeat(self) -> None:
        """The next `penalty` sees samples that were counted."""
        self._repeats = True

    def _add(self, shifted: Tensor, violated: Tensor) -> None:
        new = (shifted.sum(dim=0), violated.amax(dim=-1).sum(), shifted.new_tensor(float(len(shifted))))
        finite = torch.stack([part.isfinite().all() for part in new]).all()
        moved, size, seen = (torch.where(finite, part, 0.0) for part in new)  # no wait for an accelerator
        if self._sums is not None:  # perhaps from a checkpoint, before the module was moved
            before = [part.to(moved.device) for part in self._sums]
            moved, size, seen = before[0] + moved, before[1] + size, before[2] + seen
        self._sums = moved, size, seen

    @torch.no_grad()
    def update(self) -> None:
        """Move the multipliers by what the epoch has shown, and begin a new one."""
        if self._sums is None:
            return
        moved, violated, seen = self._sums
        self._sums = None
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for total in (moved, violated, seen):
                torch.distributed.all_reduce(total)
        if not float(seen) > 0.0:
            return
        self.multiplier.copy_(moved / seen)
        mean = violated / seen
        if mean > self.decrease * self.previous:
            self.rho.copy_((self.rho * self.growth).clamp(max=self.largest))
        self.previous.copy_(mean)

    def _fit(self, residual: Tensor) -> None:
        """Give every condition its multiplier, once their number is known, no coarser than what it is the sum of."""
        conditions = residual.shape[-1]
        if self.multiplier.numel() not in (1, conditions):
            raise SpecificationError(
                f"rule `{self.rule.name}` had {self.multiplier.numel()} conditions and now has {conditions}: "
                f"`AugmentedLagrangian` needs one number of conditions"
            )
        dtype = torch.promote_types(self.multiplier.dtype, residual.dtype)
        if self.multiplier.numel() != conditions or self.multiplier.dtype != dtype:
            self.multiplier = self.multiplier.to(dtype).expand(conditions).clone()

    def get_extra_state(self) -> dict[str, tuple[Tensor, ...] | None]:
        """What the epoch has shown so far; of several processes, the one that saves."""
        return {"sums": self._sums}

    def set_extra_state(self, state: dict[str, tuple[Tensor, ...] | None]) -> None:
        """Go on from there."""
        sums = state["sums"]
        if sums is None:
            self._sums = None
        else:
            moved, violated, seen = (part.detach().clone() for part in sums)
            self._sums = moved, violated, seen

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of conditions is only known at the first step: take it from the checkpoint.
        saved = state_dict.get(prefix + "multiplier")
        if saved is not None:
            self.multiplier = torch.zeros_like(saved, device=self.multiplier.device)
        state_dict.setdefault(prefix + "_extra_state", {"sums": None})  # those of before it was kept
        super()._load_from_state_dict(state_dict, prefix, *args)

    def settings(self) -> dict[str, float | str]:
        """How the weight grows."""
        return {"growth": self.growth, "decrease": self.decrease, "largest": self.largest}
