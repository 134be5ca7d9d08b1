"""What several processes of one training have seen, as one."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["average_"]


def average_(seen: Tensor) -> Tensor:
    """The mean over all processes, written into the tensor; itself where there is one process.

    Example:
        >>> average_(torch.tensor(2.0))
        tensor(2.)
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(seen)
        seen /= torch.distributed.get_world_size()
    return seen
