"""Handwritten digits, upright and turned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["all_turns", "load_digits", "upright_moment"]

DATA = Path(__file__).parent / "data" / "digits.npz"


def load_digits(classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images `(n, 1, 8, 8)` of ink from 0 to 1, and which of the classes each shows, `(n,)`.

    Args:
        classes: digits to keep; labels are places among them.

    Example:
        >>> images, labels = load_digits([0, 1, 8])
        >>> images.shape, labels.unique().tolist()
        (torch.Size([534, 1, 8, 8]), [0, 1, 2])
    """
    with np.load(DATA) as file:
        images, digits = file["images"], file["labels"]
    kept = np.isin(digits, list(classes))
    place = {digit: i for i, digit in enumerate(classes)}
    labels = torch.tensor([place[int(digit)] for digit in digits[kept]])
    return torch.from_numpy(images[kept]).float()[:, None] / 16.0, labels


def all_turns(images: Tensor) -> Tensor:
    """The four quarter turns of each image, upright first, `(4, n, ...)`.

    Example:
        >>> all_turns(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))[1]
        tensor([[[2., 4.],
                 [1., 3.]]])
    """
    return torch.stack([torch.rot90(images, k, (-2, -1)) for k in range(4)])


def upright_moment(images: Tensor) -> Tensor:
    """How much ink lies low, and a little how much lies left, `(batch, ..., n, n)` to `(batch,)`: a key for a pose.

    Of images in steps of 1/16 the sums are exact, so that turned copies have the same numbers to compare.

    Example:
        >>> upright_moment(torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]))
        tensor([ 2.2500, -2.2500])
    """
    size = images.shape[-1]
    place = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2.0
    weights = 4.0 * place[:, None] - 0.5 * place[None, :]
    return (images * weights).flatten(1).sum(dim=1)
