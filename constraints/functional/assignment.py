"""The best labelling of cells whose class counts must stay within limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, kron, vstack

from constraints.errors import InfeasibleError

__all__ = ["assign_with_limits"]


def assign_with_limits(
    scores: NDArray[np.floating],
    groups: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
) -> NDArray[np.int64]:
    r"""Most probable labels whose counts obey :math:`l \le G n \le u`.

    Maximises the summed score over one class a cell, as a mixed-integer program by HiGHS (exact). Where the plain
    argmax already obeys it is returned at once: it cannot be beaten.

    Args:
        scores: log-probabilities, `(cells, classes)`, finite.
        groups: `G`, `(limits, classes)`: which classes each limit counts.
        low: `(limits,)`.
        high: `(limits,)`.

    Returns:
        Labels `(cells,)`.

    Raises:
        InfeasibleError: no labelling of so many cells obeys the limits.

    Example:
        >>> scores = np.log(np.array([[0.6, 0.4], [0.7, 0.3]]))
        >>> assign_with_limits(scores, np.array([[0.0, 1.0]]), np.array([1.0]), np.array([1.0]))
        array([1, 0])
    """
    cells, classes = scores.shape
    labels: NDArray[np.int64] = scores.argmax(axis=1)
    counts = groups @ np.bincount(labels, minlength=classes)
    if np.all(counts >= low) and np.all(counts <= high):
        return labels
    one_each = csr_array(kron(np.eye(cells), np.ones((1, classes))))
    counted = csr_array(kron(np.ones((1, cells)), groups))
    rows = vstack([one_each, counted])
    limits = LinearConstraint(rows, np.concatenate([np.ones(cells), low]), np.concatenate([np.ones(cells), high]))
    # Losses relative to each cell's best keep the numbers small; floored so that "impossible" stays finite.
    losses = np.minimum(scores.max(axis=1, keepdims=True) - scores, 1e4)
    found = milp(losses.ravel(), constraints=limits, bounds=Bounds(0, 1), integrality=np.ones(losses.size))
    if found.x is None:
        raise InfeasibleError(
            f"`assign_with_limits` needs limits that some labelling of {cells} cells obeys, got low={low.tolist()}, "
            f"high={high.tolist()}: {found.message}"
        )
    labels = np.asarray(found.x).reshape(cells, classes).argmax(axis=1)
    return labels
