"""Log-probabilities of cells, computed only for the cells that a decoder asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from constraints.errors import ShapeError

__all__ = ["EagerScores", "LazyScores", "Scores"]


class Scores(ABC):
    """What a decoder may ask of a model about one sample.

    Attributes:
        cells: how many cells there are.
        change: how much the input of each cell changed since the sample before, `(cells,)`, or None.
    """

    cells: int
    change: NDArray[np.floating] | None = None

    @abstractmethod
    def at(self, cells: Sequence[int] | NDArray[np.integer]) -> NDArray[np.floating]:
        """Log-probabilities of some cells, `(k, classes)`."""

    @abstractmethod
    def known(self) -> NDArray[np.intp]:
        """The cells that the model has classified for this sample, sorted."""

    @property
    def asked(self) -> int:
        """How many cells the model has classified for this sample."""
        return len(self.known())


def _readable(values: Tensor) -> NDArray[np.floating]:
    """As numbers for a decoder; a cell with a NaN says nothing, so that all its classes are alike."""
    found = values.detach().float().cpu().numpy() if values.dtype.itemsize < 4 else values.detach().cpu().numpy()
    broken = np.isnan(found).any(axis=-1)
    if broken.any():
        found = found.copy()
        found[broken] = -np.log(found.shape[-1])
    return np.asarray(found)


@final
class EagerScores(Scores):
    """Scores that are all there already.

    Args:
        values: log-probabilities, `(cells, classes)`.
        change: see `Scores`.

    Example:
        >>> EagerScores(torch.zeros(4, 3)).asked
        4
    """

    def __init__(self, values: Tensor, *, change: NDArray[np.floating] | None = None) -> None:
        if values.dim() != 2:
            raise ShapeError(f"`EagerScores` needs (cells, classes), got shape {tuple(values.shape)}")
        self.cells = values.shape[0]
        self.change = change
        self._values = _readable(values)

    def at(self, cells: Sequence[int] | NDArray[np.integer]) -> NDArray[np.floating]:
        """See `Scores.at`."""
        return self._values[np.asarray(cells, dtype=np.intp)]

    def known(self) -> NDArray[np.intp]:
        """All of them."""
        return np.arange(self.cells)


@final
class LazyScores(Scores):
    """Scores for which the model runs when, and only for the cells that, a decoder asks; each cell once.

    Args:
        function: cells `(k,)` to log-probabilities `(k, classes)`.
        cells: how many cells there are.
        change: see `Scores`.

    Example:
        >>> scores = LazyScores(lambda cells: torch.zeros(len(cells), 3), cells=64)
        >>> _ = scores.at([3, 5]), scores.at([5, 7])
        >>> scores.asked
        3
    """

    def __init__(
        self,
        function: Callable[[NDArray[np.intp]], Tensor],
        *,
        cells: int,
        change: NDArray[np.floating] | None = None,
    ) -> None:
        self.cells = cells
        self.change = change
        self._function = function
        self._known = np.zeros(cells, dtype=bool)
        self._values: NDArray[np.floating] | None = None

    def at(self, cells: Sequence[int] | NDArray[np.integer]) -> NDArray[np.floating]:
        """See `Scores.at`."""
        wanted = np.asarray(cells, dtype=np.intp)
        new = wanted[~self._known[wanted]]
        if new.size:
            new = np.unique(new)
            with torch.inference_mode():
                values = _readable(self._function(new))
            if self._values is None:
                self._values = np.zeros((self.cells, values.shape[-1]), dtype=values.dtype)
            self._values[new] = values
            self._known[new] = True
        if self._values is None:
            raise ShapeError("`LazyScores.at` needs at least one cell at its first call, got none")
        return self._values[wanted]

    def known(self) -> NDArray[np.intp]:
        """See `Scores.known`."""
        return np.flatnonzero(self._known)
