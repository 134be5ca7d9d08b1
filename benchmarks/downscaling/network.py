"""A small convolutional upsampler: residual blocks at the coarse resolution, then transposed convolutions."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn

__all__ = ["Upsampler"]


@final
class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y.relu()


@final
class Upsampler(nn.Module):
    """Coarse fields to fine ones, without a skip connection, as in the paper: the network must learn the mean, too.

    Args:
        doublings: how often the resolution is doubled.
        width: channels at the coarse resolution; half as many at the fine one.
        blocks: residual blocks.

    Example:
        >>> import torch
        >>> Upsampler(doublings=2)(torch.zeros(3, 8, 8)).shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, doublings: int, width: int = 24, blocks: int = 2) -> None:
        super().__init__()
        widths = [width, *[max(width // 2, 8)] * doublings]
        rising = [layer for a, b in pairwise(widths) for layer in (nn.ConvTranspose2d(a, b, 2, stride=2), nn.ReLU())]
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            *(_Residual(width) for _ in range(blocks)),
            *rising,
            nn.Conv2d(widths[-1], widths[-1], 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(widths[-1], 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, h, w)` to `(batch, H, W)`."""
        y: Tensor = self.layers(x.unsqueeze(1))
        return y.squeeze(1)
