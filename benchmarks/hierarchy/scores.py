"""How well scores rank labels."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

__all__ = ["area_under_average_precision"]


def area_under_average_precision(scores: Tensor, target: Tensor) -> float:
    r"""Area under the average precision-recall curve, AU(PRC-bar): precision and recall of all labels pooled.

    .. math:: \sum_n (R_n - R_{n-1}) P_n

    over thresholds that fall, as the literature on hierarchical classifiers reports it; labels that tie count together.

    Args:
        scores: `(samples, labels)`.
        target: 0 or 1, `(samples, labels)`.

    Source: Vens et al., "Decision trees for hierarchical multi-label classification", Machine Learning 73 (2008),
    doi:10.1007/s10994-008-5077-3.

    Example:
        >>> import torch
        >>> area_under_average_precision(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[1, 0, 1]]))
        0.83...
    """
    return float(binary_average_precision(scores.double().sigmoid().flatten(), target.flatten().long()))
