"""Architectures that guarantee the shape of a function: monotone, convex, Lipschitz, symmetric."""

from constraints.networks.actions import LinearAction, Permutation, Rearrangement, SignChange, Turn
from constraints.networks.convex import ConvexNetwork
from constraints.networks.group_sort import GroupSort
from constraints.networks.groups import FiniteGroup, Group
from constraints.networks.known_groups import (
    ContinuousGroup,
    Permutations,
    PlaneRotations,
    Rotations,
    column_shifts,
    quarter_turns,
    sign_flips,
    turns_and_flips,
)
from constraints.networks.normalised import NormalisedNetwork
from constraints.networks.representation import Representation
from constraints.networks.shape import Shape, ShapedModule
from constraints.networks.shaped import ShapedNetwork
from constraints.networks.symmetric import Averaged, Canonicalised

__all__ = [
    "Averaged",
    "Canonicalised",
    "ContinuousGroup",
    "ConvexNetwork",
    "FiniteGroup",
    "Group",
    "GroupSort",
    "LinearAction",
    "NormalisedNetwork",
    "Permutation",
    "Permutations",
    "PlaneRotations",
    "Rearrangement",
    "Representation",
    "Rotations",
    "Shape",
    "ShapedModule",
    "ShapedNetwork",
    "SignChange",
    "Turn",
    "column_shifts",
    "quarter_turns",
    "sign_flips",
    "turns_and_flips",
]
