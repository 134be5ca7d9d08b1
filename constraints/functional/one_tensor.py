"""What networks must give: one tensor, whose first dimension is that of the inputs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from constraints.errors import ShapeError, SpecificationError

__all__ = ["require_batch", "require_network_output", "require_tensor"]


def require_tensor(owner: str, value: object) -> None:
    """Refuse what is no tensor, such as a tuple of them.

    Args:
        owner: who needs it, for the error.
        value: what a network gave.

    Raises:
        SpecificationError: it is something else.

    Example:
        >>> import torch
        >>> require_tensor("`Module`", (torch.zeros(2, 3), None))
        Traceback (most recent call last):
        constraints.errors.SpecificationError: `Module` needs a network that gives one tensor, (*batch, n), got ...
    """
    if isinstance(value, Tensor):
        return
    got = type(value).__name__
    if isinstance(value, Mapping):
        got += f" of {', '.join(f'{key!r}: {_shown(part)}' for key, part in value.items())}"
    elif isinstance(value, tuple | list):
        got += f" of {', '.join(map(_shown, value))}"
    raise SpecificationError(f"{owner} needs a network that gives one tensor, (*batch, n), got {got}")


def require_batch(owner: str, what: str, x: Tensor | None, y: Tensor) -> None:
    """Refuse outputs of several samples that have lost the dimension along which outputs are counted.

    Args:
        owner: who needs them, for the error.
        what: which outputs are needed.
        x: inputs, `(batch, ...)`.
        y: outputs, `(batch, ...)`.

    Raises:
        ShapeError: outputs `(batch,)`.

    Example:
        >>> import torch
        >>> require_batch("`Module`", "the 3 outputs", torch.zeros(3, 2), torch.zeros(3))
        Traceback (most recent call last):
        constraints.errors.ShapeError: `Module` needs the 3 outputs along the last dimension of (3, n), got shape ...
    """
    if y.dim() == 1 and isinstance(x, Tensor) and x.dim() > 1 and len(x) == len(y):
        raise ShapeError(
            f"{owner} needs {what} along the last dimension of ({len(x)}, n), got shape {tuple(y.shape)} for inputs of "
            f"shape {tuple(x.shape)}: the network must not squeeze its output"
        )


def require_network_output(owner: str, x: Tensor, y: object) -> None:
    """Refuse what is no tensor with a row for each point.

    Args:
        owner: who needs it, for the error.
        x: points, `(*batch, d)`.
        y: what a network gave.

    Raises:
        SpecificationError: it is no tensor.
        ShapeError: outputs of another batch than `(*batch, n)`.

    Example:
        >>> import torch
        >>> require_network_output("`Mirrored`", torch.zeros(3, 2), torch.zeros(3))
        Traceback (most recent call last):
        constraints.errors.ShapeError: `Mirrored` needs outputs (3, n) of points (3, 2), got shape (3,)
    """
    require_tensor(owner, y)
    assert isinstance(y, Tensor)
    if y.shape[:-1] != x.shape[:-1]:
        batch = ", ".join(map(str, x.shape[:-1]))
        raise ShapeError(f"{owner} needs outputs ({batch}, n) of points {tuple(x.shape)}, got shape {tuple(y.shape)}")


def _shown(part: object) -> str:
    return f"{type(part).__name__} {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
