"""Which member of an orbit represents it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["last_of_orbit", "lexicographically_greater"]


def lexicographically_greater(a: Tensor, b: Tensor) -> Tensor:
    """Whether the first number in which two vectors differ is greater in `a`, `(*batch, n)` to `(*batch,)` bool.

    Comparing numbers is exact, so this is a total order whatever the batch.

    Example:
        >>> lexicographically_greater(torch.tensor([[1.0, 2.0], [1.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        tensor([ True, False])
    """
    differs = a != b
    first = differs.to(torch.uint8).argmax(dim=-1, keepdim=True)
    return (a.gather(-1, first) > b.gather(-1, first)).squeeze(-1)


def last_of_orbit(orbit: Tensor, keys: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The member of each orbit that comes last: by key, and among equal keys lexicographically.

    Args:
        orbit: what each element of a group makes of each sample, `(size, batch, n)`.
        keys: a number each, `(size, batch)`, or None.

    Returns:
        The representatives, `(batch, n)`, and which elements lead to them, `(size, batch)` bool: several where the
        sample is symmetric itself.

    Example:
        >>> last_of_orbit(torch.tensor([[[1.0, 2.0]], [[2.0, 1.0]]]))
        (tensor([[2., 1.]]), tensor([[False],
                [ True]]))
    """
    best, best_key = orbit[0], None if keys is None else keys[0]
    for place in range(1, len(orbit)):
        greater = lexicographically_greater(orbit[place], best)
        if keys is not None and best_key is not None:
            greater = (keys[place] > best_key) | ((keys[place] == best_key) & greater)
            best_key = torch.where(greater, keys[place], best_key)
        best = torch.where(greater[:, None], orbit[place], best)
    return best, (orbit == best).all(dim=-1)
