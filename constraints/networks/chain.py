"""Networks that are read layer by layer: linear maps and activations in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from torch import nn

from constraints.errors import UnsupportedError
from constraints.networks.group_sort import GroupSort

__all__ = ["is_convex", "is_nonexpansive", "read_chain"]


def is_nonexpansive(layer: nn.Module) -> bool:
    """Whether an activation is known to be 1-Lipschitz in the largest norm.

    GELU, SiLU, Mish and SELU are not: their slopes exceed 1.

    Example:
        >>> is_nonexpansive(nn.Tanh()), is_nonexpansive(nn.GELU())
        (True, False)
    """
    kind = type(layer)
    if kind in (nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign, nn.LogSigmoid, GroupSort):
        return True
    if isinstance(layer, nn.LeakyReLU):
        return kind is nn.LeakyReLU and abs(layer.negative_slope) <= 1
    return is_convex(layer)


def is_convex(layer: nn.Module) -> bool:
    """Whether an activation is known to be elementwise, convex and nowhere falling; such ones here are 1-Lipschitz too.

    Example:
        >>> is_convex(nn.ReLU()), is_convex(nn.Tanh()), is_convex(nn.ELU(alpha=2.0))
        (True, False, False)
    """
    kind = type(layer)
    if kind in (nn.ReLU, nn.Identity):
        return True
    if isinstance(layer, nn.LeakyReLU):
        return kind is nn.LeakyReLU and 0 <= layer.negative_slope <= 1
    if isinstance(layer, nn.ELU):  # its slope left of 0 is alpha
        return kind is nn.ELU and 0 <= layer.alpha <= 1
    if isinstance(layer, nn.CELU):
        return kind is nn.CELU and layer.alpha > 0
    return kind is nn.Softplus and float(layer.beta) > 0  # type: ignore[arg-type]


def read_chain(
    network: nn.Module, allowed: Callable[[nn.Module], bool], *, why: str, instead: str, linear_end: bool = True
) -> list[nn.Module]:
    """The layers of a network in the order in which they act.

    Args:
        network: `nn.Linear`, or an `nn.Sequential` of `nn.Linear` and activations, nested or not; a subclass, too,
            whose `forward` is that of `nn.Sequential`.
        allowed: which activations may be there.
        why: what activations must be, for the error.
        instead: which architecture to use, for the error.
        linear_end: whether the last layer must be linear, too.

    Raises:
        UnsupportedError: anything else is in it; names the layer.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1)))
        >>> [type(layer).__name__ for layer in read_chain(net, is_convex, why="convex", instead="another")]
        ['Linear', 'ReLU', 'Linear']
    """
    layers = list(_flatten(network))
    for layer in layers:
        if _hooked(layer) or not (type(layer) is nn.Linear or allowed(layer)):
            hooks = " with hooks" if _hooked(layer) else ""
            raise UnsupportedError(
                f"a network can only be wrapped where it is an nn.Sequential of nn.Linear and activations that are "
                f"{why}, got `{layer}`{hooks} in it. Use {instead}"
            )
    ends = [layers[0], layers[-1]] if layers and linear_end else layers[:1]
    if not ends or any(type(layer) is not nn.Linear for layer in ends):
        place = "begin and end" if linear_end else "begin"
        raise UnsupportedError(
            f"a network can only be wrapped where its layers {place} with nn.Linear, got "
            f"{[type(layer).__name__ for layer in layers]}. State bounds of the output as a rule, or use {instead}"
        )
    return layers


def _flatten(network: nn.Module) -> Iterable[nn.Module]:
    plain = isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward
    if plain and type(network).__call__ is nn.Sequential.__call__ and not _hooked(network):
        for layer in cast(nn.Sequential, network):
            yield from _flatten(layer)
    else:
        yield network


def _hooked(layer: nn.Module) -> bool:
    """Whether something else acts when the layer is called; its own forward is then not all that happens."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks)
