"""Architectures that guarantee the shape of a function: monotone, convex, Lipschitz, symmetric."""

from constraints.networks.convex import ConvexNetwork
from constraints.networks.group_sort import GroupSort
from constraints.networks.normalised import NormalisedNetwork
from constraints.networks.shape import Shape, ShapedModule
from constraints.networks.shaped import ShapedNetwork

__all__ = ["ConvexNetwork", "GroupSort", "NormalisedNetwork", "Shape", "ShapedModule", "ShapedNetwork"]
