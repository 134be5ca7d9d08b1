"""A small convolutional network over square crops."""

from __future__ import annotations

from typing import final

import torch
from einops import pack, unpack
from torch import Tensor, nn

from benchmarks.chess.labels import COUNT

__all__ = ["SquareNet"]


@final
class SquareNet(nn.Module):
    """Classifies every square of a board from its crop.

    Args:
        width: channels of the first layer; the others follow from it.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()

        def block(ins: int, outs: int, stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(ins, outs, 3, stride, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)]

        self.features = nn.Sequential(
            *block(3, width, stride=2),  # 20 x 12
            *block(width, 2 * width),
            nn.MaxPool2d(2),  # 10 x 6
            *block(2 * width, 4 * width),
            nn.MaxPool2d(2),  # 5 x 3
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(4 * width * 15, 8 * width), nn.ReLU(inplace=True), nn.Linear(8 * width, COUNT)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(*batch, 64, 13)` of crops `(*batch, 64, 3, 40, 24)`, bytes or floats in [0, 255]."""
        crops, shape = pack([x], "* c h w")
        (logits,) = unpack(self._classify(crops), shape, "* k")
        return logits

    def forward_cells(self, x: Tensor, cells: Tensor) -> Tensor:
        """Logits `(k, 13)` of the crops `(k, 3, 40, 24)` of some squares."""
        return self._classify(x)

    def _classify(self, crops: Tensor) -> Tensor:
        pixels = crops.to(next(self.parameters()).dtype) / 255.0
        # Broadcasts differ in light and palette: a crop is judged by its contrasts.
        centred = pixels - pixels.mean(dim=(-2, -1), keepdim=True)
        scaled = centred / (centred.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt() + 0.02)
        logits: Tensor = self.head(self.features(scaled.to(memory_format=torch.channels_last)))
        return logits
