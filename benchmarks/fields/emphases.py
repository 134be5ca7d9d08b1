"""Arms with weights of single points that move: their names, and what each is held against."""

from __future__ import annotations

from collections.abc import Mapping

from dkmodels.study.metric import Contrast

__all__ = ["EMPHASES", "EVEN", "emphasis_contrasts"]

EVEN = "even"
EMPHASES: Mapping[str, str] = {
    EVEN: "no emphasis",
    "attention": "residual attention",
    "adaptive": "self-adaptive",
    "causal": "causal",
}


def emphasis_contrasts(arm: str = "{}") -> list[Contrast]:
    """Each emphasis of the equation against none.

    Args:
        arm: how an arm is called after its emphasis, `{}`.

    Example:
        >>> [(one.arm, one.baseline) for one in emphasis_contrasts("Adam, {}")][0]
        ('Adam, attention', 'Adam, even')
    """
    return [
        Contrast(rule="equation", embedding=title, arm=arm.format(kind), baseline=arm.format(EVEN), family="emphasis")
        for kind, title in EMPHASES.items()
        if kind != EVEN
    ]
