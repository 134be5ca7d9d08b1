"""What an untrained module is: settings, structure, optimiser, and the numbers that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dkmodels.module import KnowledgeModule
from dkmodels.study.fingerprint import describe, digest, is_users, private_attributes, public_attributes

__all__ = ["describe_module", "projection"]


def describe_module(module: KnowledgeModule) -> dict[str, Any]:
    """What a module is that was just built: equal in every process for the same code, settings and seed.

    Args:
        module: the module of an arm, before anything is trained.
    """
    return {
        **_settings(module),
        **_network(module.network),
        "learning_rate": repr(module.learning_rate),
        "optimizer": describe(module.optimizer, whole=True),
        "balance": describe(module.balance, whole=True),
        "optimizers": _optimizers(module),
        "start": _start(module),
    }


def _network(network: nn.Module) -> dict[str, Any]:
    """Class, size, and digests of layers and shapes; not the weights, which differ by seed.

    Layers of the user's own classes are described one by one: of these some attributes may be other ones at each call.
    """
    parts = dict(network.named_modules())
    own = {name: _settings(part) for name, part in parts.items() if is_users(type(part))}
    shapes = {name: [list(p.shape), str(p.dtype)] for name, p in network.named_parameters() if _has_values(p)}
    kinds = {name: [type(part).__qualname__, {} if name in own else _settings(part)] for name, part in parts.items()}
    count = sum(p.numel() for p in network.parameters() if _has_values(p))
    found = {
        "network": f"{type(network).__name__} of {count} parameters ({digest([shapes, kinds])})",
        "printed": digest(repr(network)),
    }
    return {**found, "layers": {name: settings for name, settings in own.items() if settings}}


def _settings(part: nn.Module) -> dict[str, Any]:
    """Attributes of a layer that are none of its parameters, buffers and layers, which are described apart."""
    own = {**part._parameters, **part._buffers, **part._modules}
    found = {**public_attributes(part), **private_attributes(part)}
    skipped = ("network", "learning_rate", "optimizer", "balance") if isinstance(part, KnowledgeModule) else ()
    return {
        name: describe(item, whole=True)
        for name, item in found.items()
        if name not in own and name not in skipped and not isinstance(item, nn.Module)
    }


def _optimizers(module: KnowledgeModule) -> Any:
    """Settings of the optimisers and schedulers that it trains with."""
    try:
        return _configured(module.configure_optimizers())
    except Exception:  # most often one that asks the trainer, which is not there yet
        return "not known without a trainer"


def _configured(value: Any) -> Any:
    if isinstance(value, Optimizer):
        groups = [{name: item for name, item in group.items() if name != "params"} for group in value.param_groups]
        sizes = [len(group["params"]) for group in value.param_groups]
        settings = {"defaults": value.defaults, "groups": groups, "sizes": sizes}
        return {"class": type(value).__qualname__, **describe(settings, whole=True)}
    if isinstance(value, LRScheduler):
        settings = {name: item for name, item in vars(value).items() if name != "optimizer"}
        return {"class": type(value).__qualname__, **{name: _configured(item) for name, item in settings.items()}}
    if isinstance(value, Mapping):
        return {str(name): _configured(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_configured(item) for item in value]
    return describe(value, whole=True)


def _start(module: nn.Module) -> dict[str, list[float]]:
    """Of each parameter and buffer, also one that a state leaves out, a projection and its size."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: projection(tensor) for name, tensor in tensors.items() if _has_values(tensor)}


def projection(tensor: Tensor) -> list[float]:
    r"""The numbers :math:`n^{-1/2} \sum x_i \cos i` and the root mean square of a tensor.

    They change little where the last digits of the values do, as between machines, and unlike a digest can be compared
    with a tolerance.

    Example:
        >>> [round(number, 3) for number in projection(torch.tensor([3.0, 4.0]))]
        [3.65, 3.536]
    """
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    flat = values.detach().cpu().to(torch.float64).reshape(-1).nan_to_num()
    if not len(flat):
        return [0.0, 0.0]
    waves = torch.cos(torch.arange(len(flat), dtype=torch.float64))
    return [float(flat @ waves) / len(flat) ** 0.5, float(flat.square().mean().sqrt())]


def _has_values(tensor: Tensor) -> bool:
    # A lazy layer's parameters have no shape yet.
    return not (nn.parameter.is_lazy(tensor) or tensor.is_meta or tensor.is_sparse or tensor.is_quantized)
