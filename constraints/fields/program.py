"""The chain rule of one layer, in the order in which it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from constraints.fields.streams import Streams, Terms

__all__ = ["Block", "Group", "Program", "Run", "compile_program", "has_value"]

SHORTEST = 4  # fewer squares are added one by one: each is one operation then, too


@final
@dataclass(frozen=True, slots=True)
class Run:
    """A sum of the squares of neighbouring streams, `factor * (stream[low]^2 + ... + stream[high - 1]^2)`."""

    low: int
    high: int
    factor: float


@final
@dataclass(frozen=True, slots=True)
class Group:
    """What the derivative of some degree multiplies in one stream: `scale * (runs + terms)`, a polynomial in streams.

    Attributes:
        row: the place in the result.
        degree: of the derivative, and of the polynomial.
        scale: the factor of the first term, or of the first run.
        runs: sums of squares.
        terms: places of the factors, and their coefficient.
    """

    row: int
    degree: int
    scale: float
    runs: tuple[Run, ...]
    terms: tuple[tuple[tuple[int, ...], float], ...]


@final
@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring rows of a result: derivative `degree` of the function times neighbouring rows of constants."""

    row: int
    constant: int
    count: int
    degree: int
    first: bool  # whether nothing was written there before


@final
@dataclass(frozen=True, slots=True)
class Program:
    """What of a layer's result is wanted, and how it is made.

    Attributes:
        keep: the streams that the result has, in order.
        groups: of a result of which all streams vary from point to point.
        constants: of an affine argument: polynomials in the slopes, by coordinate, one a row.
        blocks: of an affine argument.
        degree: the highest derivative of the function that is needed.
    """

    keep: tuple[int, ...]
    groups: tuple[Group, ...]
    constants: tuple[Group, ...]
    blocks: tuple[Block, ...]
    degree: int

    @property
    def value(self) -> int:
        """1 where the value itself is kept (it is row 0 then), 0 where not."""
        return int(has_value(self.keep))

    @property
    def whole(self) -> bool:
        """Whether all derivatives are kept, in order."""
        return len(self.keep) > self.value and self.keep[-1] == len(self.keep) - self.value


def has_value(keep: tuple[int, ...]) -> bool:
    """Whether the value itself, stream 0, is kept.

    Written without `in`, which torch.compile takes for false once the places are symbols to it.

    Example:
        >>> has_value((0, 2)), has_value((1, 2))
        (True, False)
    """
    return any(place == 0 for place in keep)


def compile_program(streams: Streams, keep: tuple[int, ...]) -> Program:
    """The program of a layer of which some streams are wanted; compiled once.

    Example:
        >>> from constraints.fields.operators import laplacian
        >>> from constraints.fields.streams import plan
        >>> program = compile_program(plan([laplacian(2)]).streams, keep=(3,))
        >>> program.groups[0].terms
        (((1, 1), 1.0), ((2, 2), 1.0))
    """
    known = streams.programs.get(keep)
    if not isinstance(known, Program):
        known = streams.programs[keep] = _compile(streams, keep)
    return known


def _compile(streams: Streams, keep: tuple[int, ...]) -> Program:
    groups: list[Group] = []
    constants: list[Group] = []
    blocks: list[Block] = []
    for row, stream in enumerate(keep):
        if not stream:
            continue
        groups += _groups(row, streams.chain[stream - 1])
        written = False
        for group in _groups(row, streams.affine[stream - 1]):
            last = blocks[-1] if blocks else None
            follows = last is not None and last.row + last.count == row and last.degree == group.degree
            if follows and last is not None and last.first and not written:
                blocks[-1] = Block(last.row, last.constant, last.count + 1, last.degree, True)
            else:
                blocks.append(Block(row, len(constants), 1, group.degree, not written))
            constants.append(group)
            written = True
    degree = max((group.degree for group in constants), default=0)
    return Program(keep, tuple(groups), tuple(constants), tuple(blocks), degree)


def _groups(row: int, polynomial: Terms) -> list[Group]:
    """One group a degree."""
    groups = []
    for degree in sorted({len(factors) for factors in polynomial}):
        terms = {factors: c for factors, c in sorted(polynomial.items()) if len(factors) == degree}
        runs = _runs(terms)
        for run in runs:
            for i in range(run.low, run.high):
                del terms[i, i]
        scale = runs[0].factor if runs else next(iter(terms.values()))
        groups.append(
            Group(
                row,
                degree,
                scale,
                tuple(Run(run.low, run.high, run.factor / scale) for run in runs),
                tuple((factors, c / scale) for factors, c in terms.items()),
            )
        )
    return groups


def _runs(terms: Terms) -> list[Run]:
    runs: list[Run] = []
    squares = sorted((factors[0], c) for factors, c in terms.items() if len(factors) == 2 and factors[0] == factors[1])
    for place, c in squares:
        if runs and runs[-1].high == place and runs[-1].factor == c:
            runs[-1] = Run(runs[-1].low, place + 1, c)
        else:
            runs.append(Run(place, place + 1, c))
    return [run for run in runs if run.high - run.low >= SHORTEST]
