"""How layers act on jets: linear ones, smooth activations, sequences, and modules that say it themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from constraints.errors import UnsupportedError
from constraints.fields import smooth
from constraints.fields.jet import Jet, LinearLayer
from constraints.fields.smooth import Tower

__all__ = [
    "JetModule",
    "NoJetRuleError",
    "SmoothModule",
    "flatten",
    "is_plain_linear",
    "obstacle",
    "push",
    "push_layers",
    "says_rule",
    "smoothness",
]


class NoJetRuleError(UnsupportedError):
    """A module that jets cannot pass."""


@runtime_checkable
class JetModule(Protocol):
    """A module that says how it acts on jets.

    Example:
        >>> class Vanishing(nn.Module):  # zero where the first coordinate is 0 or 1
        ...     def __init__(self, network):
        ...         super().__init__()
        ...         self.network = network
        ...     def forward(self, x):
        ...         return x[..., :1] * (1.0 - x[..., :1]) * self.network(x)
        ...     def forward_jet(self, jet):
        ...         return jet[..., :1] * (1.0 - jet[..., :1]) * push(self.network, jet)
        >>> isinstance(Vanishing(nn.Linear(2, 1)), JetModule)
        True
    """

    def forward_jet(self, jet: Jet) -> Jet:
        """What `forward` does, on a value and its derivatives."""
        ...


@runtime_checkable
class SmoothModule(Protocol):
    """An activation that gives its derivatives, too.

    Example:
        >>> import torch
        >>> class Square(nn.Module):
        ...     def forward(self, z):
        ...         return z * z
        ...     def forward_tower(self, z, order):
        ...         return [z * z, 2.0 * z, torch.full_like(z, 2.0), *[torch.zeros_like(z)] * 3][: order + 1]
        >>> isinstance(Square(), SmoothModule)
        True
    """

    def forward_tower(self, z: Tensor, order: int) -> list[Tensor]:
        """Value and derivatives up to `order` (at most 5), each of the shape of `z`; no tensor is written over."""
        ...


def push(module: nn.Module, jet: Jet, keep: tuple[int, ...] | None = None) -> Jet:
    """A jet through a module.

    Args:
        module: `nn.Linear`, a smooth activation, an `nn.Sequential` of such, or a `JetModule`.
        jet: the module's input.
        keep: the streams of the result that are wanted; others may be missing from it.

    Raises:
        NoJetRuleError: none of these.

    Example:
        >>> import torch
        >>> from constraints.fields import Derivatives, partials
        >>> (dx,) = partials(1)
        >>> jet = Jet.of_points(Derivatives([dx**2]).streams, torch.zeros(1, 1))
        >>> push(nn.Sequential(nn.Tanh(), nn.Sigmoid()), jet).stack[0, :2].flatten().tolist()
        [0.5, 0.25]
    """
    return push_layers(list(flatten(module)), jet, keep)


def push_layers(layers: Iterable[nn.Module], jet: Jet, keep: tuple[int, ...] | None = None) -> Jet:
    """The same through layers one after the other, none of them a sequence."""
    waiting: list[LinearLayer | Tower] = []
    for layer in layers:
        if layer._forward_hooks or layer._forward_pre_hooks:
            raise NoJetRuleError(f"`{type(layer).__name__}` has hooks")
        if says_rule(layer):
            jet = cast(JetModule, layer).forward_jet(jet.chain(waiting))
            waiting = []
        elif type(layer).forward is nn.Linear.forward:
            linear = cast(nn.Linear, layer)
            waiting.append(LinearLayer(linear.weight, linear.bias))
        elif (tower := _tower(layer)) is not None:
            waiting.append(tower)
        elif not _is_linear(layer):
            raise NoJetRuleError(f"`{type(layer).__name__}` has no jet rule: give it a method `forward_jet`")
    return jet.chain(waiting, keep)


def obstacle(module: object) -> str | None:
    """Why jets cannot pass a module; None where nothing is seen that stops them.

    Example:
        >>> obstacle(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
        '`LayerNorm` has no jet rule'
    """
    if not isinstance(module, nn.Module):
        return f"`{type(module).__name__}` is not a module"
    for layer in flatten(module):
        hooked = bool(layer._forward_hooks or layer._forward_pre_hooks)
        if hooked or not (says_rule(layer) or _is_linear(layer) or _tower(layer) is not None):
            return f"`{type(layer).__name__}` has " + ("hooks" if hooked else "no jet rule")
    return None


def smoothness(layer: nn.Module) -> int | None:
    """The highest order of derivatives that mean something, of a layer with kinks; None where none are known.

    A derivative means something while the one before it is continuous: a jump's own derivative is zero almost
    everywhere, which sampled points take for the truth.

    Example:
        >>> smoothness(nn.ReLU()), smoothness(nn.ELU()), smoothness(nn.Tanh())
        (1, 2, None)
    """
    if isinstance(layer, nn.ELU):
        return 2 if layer.alpha == 1.0 else 1
    if isinstance(layer, (nn.CELU, nn.Softsign)):
        return 2
    if isinstance(layer, (nn.Hardshrink, nn.Threshold)):
        return 0
    kinks = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.SELU)
    return 1 if isinstance(layer, (*kinks, nn.Softshrink)) else None


def flatten(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of sequences in sequences, in order; anything else is one layer."""
    plain = type(module).forward is nn.Sequential.forward and not says_rule(module)
    if plain and not (module._forward_hooks or module._forward_pre_hooks):
        for layer in cast(nn.Sequential, module):
            yield from flatten(layer)
    else:
        yield module


def _is_linear(layer: nn.Module) -> bool:
    """A linear map of each stream alone; one whose `forward` a subclass has overridden is not taken for one."""
    forward = type(layer).forward
    if says_rule(layer):
        return False
    if forward is nn.Dropout.forward:
        return not layer.training or cast(nn.Dropout, layer).p == 0.0
    return forward in (nn.Linear.forward, nn.Identity.forward)


def is_plain_linear(layer: nn.Module) -> bool:
    """Whether it is `nn.Linear`, with nothing else that acts when it is called."""
    hooked = bool(layer._forward_hooks or layer._forward_pre_hooks)
    return type(layer).forward is nn.Linear.forward and not says_rule(layer) and not hooked


def says_rule(layer: nn.Module) -> bool:
    """Whether a module is a `JetModule`; asking the protocol itself takes as long as a small layer."""
    return hasattr(type(layer), "forward_jet")


def _tower(layer: nn.Module) -> Tower | None:
    """The function of an activation, read where its `forward` is torch's own."""
    if hasattr(type(layer), "forward_tower"):
        return cast(SmoothModule, layer).forward_tower
    make = TOWERS.get(type(layer).forward)
    return None if make is None else make(layer)


def _gelu(layer: nn.Module) -> Tower | None:
    return smooth.gelu if cast(nn.GELU, layer).approximate == "none" else None


def _softplus(layer: nn.Module) -> Tower | None:
    return partial(smooth.softplus, beta=float(cast(nn.Softplus, layer).beta))


TOWERS: dict[Callable[..., object], Callable[[nn.Module], Tower | None]] = {
    nn.Tanh.forward: lambda layer: smooth.tanh,
    nn.Sigmoid.forward: lambda layer: smooth.sigmoid,
    nn.SiLU.forward: lambda layer: smooth.silu,
    nn.GELU.forward: _gelu,
    nn.Softplus.forward: _softplus,
}
