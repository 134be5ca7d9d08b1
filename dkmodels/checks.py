"""What a module refuses: names, contradictions, losses that are not finite."""

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
    require_consistent,
)

__all__ = ["bind", "require_finite_loss", "require_name", "require_no_conflict"]


def bind(rule: Rule, outputs: Sequence[str] | None, inputs: Sequence[str] | None) -> None:
    """Tell a rule what a module calls its columns.

    Raises:
        SpecificationError: a name that does not exist.
    """
    if isinstance(rule, OutputRule):
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
