"""Architectures that guarantee the shape of a function: monotone, convex, Lipschitz, symmetric."""

from constraints.networks.actions import LinearAction, Permutation, Rearrangement, SignChange, Turn
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
from constraints.networks.representation import Representation
from constraints.networks.symmetric import Averaged, Canonicalised

__all__ = [
    "Averaged",
    "Canonicalised",
    "ContinuousGroup",
    "FiniteGroup",
    "Group",
    "LinearAction",
    "Permutation",
    "Permutations",
    "PlaneRotations",
    "Rearrangement",
    "Representation",
    "Rotations",
    "SignChange",
    "Turn",
    "column_shifts",
    "quarter_turns",
    "sign_flips",
    "turns_and_flips",
]
