"""What a module refuses: names, contradictions, losses that are not finite, gradients that are not the loss's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from constraints import (
    Embedding,
    FieldEquation,
    NonFiniteError,
    OutputRule,
    Rule,
    RuleSet,
    SpecificationError,
    UnsupportedError,
    require_consistent,
)
from dkmodels.optim import Stages
from dkmodels.optim.full_batch import FullBatchOptimizer

__all__ = ["bind", "require_finite_loss", "require_name", "require_no_conflict", "require_whole_gradients"]


def bind(rule: Rule, outputs: Sequence[str] | None, inputs: Sequence[str] | None) -> None:
    """Tell a rule what a module calls its columns.

    Raises:
        SpecificationError: a name that does not exist.
    """
    rule.bind(outputs)
    rule.bind_inputs(inputs)


def require_no_conflict(embeddings: Mapping[str, Embedding], outputs: int | None) -> None:
    """Refuse rules that cannot hold together, Soft ones too: training would only balance one against the other.

    Raises:
        InfeasibleError: rules that contradict each other.
    """
    imposed = {
        name: e.rule for name, e in embeddings.items() if (e.trains or e.decodes) and isinstance(e.rule, OutputRule)
    }
    fields = {name: e.rule for name, e in embeddings.items() if e.trains and isinstance(e.rule, FieldEquation)}
    require_consistent(fields)
    if len(imposed) > 1 and any(e.penalises or e.decodes for e in embeddings.values()):
        RuleSet(imposed, outputs).require()


def require_name(name: str) -> None:
    """Refuse a name under which a rule cannot be kept or logged.

    Raises:
        SpecificationError: it says why.
    """
    if not name or "." in name or "/" in name or hasattr(nn.ModuleDict, name):
        raise SpecificationError(
            f"a rule needs a name without dots and slashes that is no method of nn.ModuleDict, got {name!r}"
        )


def require_finite_loss(
    owner: str, total: Tensor, parts: Mapping[str, Tensor], penalties: Mapping[str, Tensor]
) -> None:
    """Refuse a loss that is not finite, with what it was made of.

    Args:
        owner: whose loss.
        total: `()`.
        parts: by what messages call them.
        penalties: by rule.

    Raises:
        NonFiniteError: says which parts are not finite.

    Example:
        >>> require_finite_loss("Module", torch.tensor(1.0), {}, {})
    """
    if torch.isfinite(total):
        return
    told = {**parts, **{f"penalty of rule `{name}`": penalty for name, penalty in penalties.items()}}
    broken = [name for name, part in told.items() if part.is_floating_point() and not torch.isfinite(part).all()]
    raise NonFiniteError(
        f"`{owner}` needs a finite loss, got {float(total.detach())}; not finite: "
        f"{', '.join(broken) or 'the task loss'}"
    )


def require_whole_gradients(optimizer: torch.optim.Optimizer, accumulated: int, clipped: bool) -> None:
    """Refuse what makes gradients others than the loss's, where an optimiser asks for both several times a step.

    Over several batches Lightning clears the gradients at the first alone: those of trials would add up. Clipped ones
    are no slopes of the loss along which a line is searched.

    Args:
        optimizer: the module's.
        accumulated: batches a step.
        clipped: whether gradients are.

    Raises:
        UnsupportedError: says which of them.

    Example:
        >>> require_whole_gradients(torch.optim.Adam([nn.Parameter(torch.zeros(1))]), accumulated=2, clipped=True)
    """
    stages = optimizer.stages if isinstance(optimizer, Stages) else ()
    parts = optimizer.optimizers if isinstance(optimizer, Stages) else [optimizer]
    searching = [type(one).__name__ for one in parts if isinstance(one, (FullBatchOptimizer, torch.optim.LBFGS))]
    asking = searching + [f"Stage(repeat={stage.repeat})" for stage in stages if stage.repeat > 1]
    if accumulated > 1 and asking:
        raise UnsupportedError(
            f"`{asking[0]}` asks for the loss of a batch several times a step, and needs accumulate_grad_batches=1, "
            f"got {accumulated}: make batches larger"
        )
    if clipped and searching:
        raise UnsupportedError(f"`{searching[0]}` needs gradients as they are, got gradient_clip_val")
