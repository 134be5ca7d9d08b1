"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.errors import NonFiniteError, SpecificationError

__all__ = ["LineFunction", "LineSearch", "Trial", "search_line"]

LineFunction = Callable[[float], tuple[float, float, Tensor]]

MARGIN = 0.1  # of a bracket, at either end, where no trial is made
SHORTEST_STRETCH, LONGEST_STRETCH = 1.1, 10.0  # of a step, where there is no bracket yet
ROUNDING = 4.0  # units of rounding of the first value within which values count as equal


@final
class Trial(NamedTuple):
    """A step along the line and what was found there.

    Attributes:
        step: how far.
        value: of the function.
        slope: its derivative along the line.
        gradient: its gradient, `(n,)`.
    """

    step: float
    value: float
    slope: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        """Whether value and slope are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


@final
class LineSearch(NamedTuple):
    """Where a line search ended.

    Attributes:
        step: the step found; the best one that lowers the value, or 0, where the search failed.
        value: there.
        gradient: there, `(n,)`.
        evaluations: how often the function was asked.
        satisfied: whether the step obeys the strong Wolfe conditions.
    """

    step: float
    value: float
    gradient: Tensor
    evaluations: int
    satisfied: bool


def search_line(
    phi: LineFunction,
    start: Trial,
    *,
    step: float = 1.0,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    max_evaluations: int = 25,
    rounding: float | None = None,
) -> LineSearch:
    r"""A step that obeys the strong Wolfe conditions: bracket, then zoom by safeguarded cubic interpolation.

    .. math:: \phi(t) \le \phi(0) + c_1 t \phi'(0), \qquad |\phi'(t)| \le c_2 |\phi'(0)|

    The first holds to rounding: values within 4 units of rounding of :math:`\phi(0)` count as equal,
    so that at a flat end the slopes decide. Where value or slope is not finite the step shrinks.

    Args:
        phi: from a step to value, slope and gradient `(n,)`.
        start: the trial at step 0.
        step: the first one tried, > 0.
        decrease: :math:`c_1`.
        curvature: :math:`c_2`, above :math:`c_1` and below 1.
        max_evaluations: the search fails after so many, >= 1.
        rounding: relative, of values; that of the gradient's dtype by default.

    Raises:
        SpecificationError: a direction that does not descend; numbers out of range.
        NonFiniteError: a start that is not finite.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6, equation 3.59,
    doi:10.1007/978-0-387-40065-5. Values within rounding: Hager and Zhang, "A new conjugate gradient method with
    guaranteed descent and an efficient line search", SIAM Journal on Optimization 16, 2005, doi:10.1137/030601880.

    Example:
        >>> parabola = lambda t: ((t - 3.0) ** 2, 2.0 * (t - 3.0), torch.tensor([2.0 * (t - 3.0)]))
        >>> found = search_line(parabola, Trial(0.0, *parabola(0.0)), curvature=0.1)
        >>> round(found.step, 6), found.satisfied
        (3.0, True)
    """
    _check(start, step, decrease, curvature, max_evaluations)
    unit = torch.finfo(start.gradient.dtype).eps if rounding is None else rounding
    noise = ROUNDING * unit * abs(start.value)
    return _Search(phi, start, decrease, curvature, max_evaluations, noise).run(step)


@final
class _Search:
    """What a search remembers: its start, its conditions, and how often it asked."""

    def __init__(
        self, phi: LineFunction, start: Trial, decrease: float, curvature: float, max_evaluations: int, noise: float
    ) -> None:
        self.phi = phi
        self.start = start
        self.decrease = decrease
        self.curvature = curvature
        self.left = self.max_evaluations = max_evaluations
        self.noise = noise

    def run(self, step: float) -> LineSearch:
        """Lengthen the step until a bracket is found, then zoom into it."""
        last = self.start
        while self.left:
            now = self._try(step)
            if not self._falls(now) or (last.step > 0.0 and now.value > last.value + self.noise):
                return self._zoom(last, now)
            if self._flat(now):
                return self._end(now, True)
            if now.slope >= 0.0:
                return self._zoom(now, last)
            shortest, longest = SHORTEST_STRETCH * now.step, LONGEST_STRETCH * now.step
            ahead = self._minimum(last, now, longest)
            step = min(max(ahead, shortest), longest) if ahead > now.step else longest
            last = now
        return self._end(last, False)

    def _zoom(self, low: Trial, high: Trial) -> LineSearch:
        """Alg. 3.6: `low` is the best so far, and its slope points to `high`."""
        while self.left:
            width = high.step - low.step
            if abs(width) <= torch.finfo(torch.float64).eps * max(low.step, high.step):
                break
            now = self._try(self._inside(low, high))
            if not self._falls(now) or now.value > low.value + self.noise:
                high = now
                continue
            if self._flat(now):
                return self._end(now, True)
            if now.slope * width >= 0.0:
                high = low
            low = now
        return self._end(low, False)

    def _inside(self, low: Trial, high: Trial) -> float:
        """The next trial between two, kept off both ends."""
        width = high.step - low.step
        if not high.finite:
            return low.step + MARGIN * width
        share = (self._minimum(low, high, low.step + 0.5 * width) - low.step) / width
        return low.step + width * min(max(share, MARGIN), 1.0 - MARGIN)

    def _minimum(self, a: Trial, b: Trial, otherwise: float) -> float:
        """Where the function is guessed to be least, from two trials: by their slopes alone, where values drown."""
        rise = 0.0 if abs(b.value - a.value) <= self.noise else (b.value - a.value) / (b.step - a.step)
        place = _cubic_minimum(a, b, rise) if rise else _level_point(a, b)
        return place if math.isfinite(place) else otherwise

    def _try(self, step: float) -> Trial:
        self.left -= 1
        return Trial(step, *self.phi(step))

    def _falls(self, trial: Trial) -> bool:
        promised = self.decrease * trial.step * self.start.slope
        return trial.finite and trial.value <= self.start.value + promised + self.noise

    def _flat(self, trial: Trial) -> bool:
        return abs(trial.slope) <= self.curvature * abs(self.start.slope)

    def _end(self, trial: Trial, satisfied: bool) -> LineSearch:
        if not satisfied and trial.value >= self.start.value:
            trial = self.start
        return LineSearch(trial.step, trial.value, trial.gradient, self.max_evaluations - self.left, satisfied)


def _cubic_minimum(a: Trial, b: Trial, rise: float) -> float:
    """Where the cubic through values and slopes of two trials is least; NaN where it has no minimum."""
    width = b.step - a.step
    first = a.slope + b.slope - 3.0 * rise
    square = first * first - a.slope * b.slope
    if not square >= 0.0:
        return math.nan
    second = math.copysign(math.sqrt(square), width)
    below = b.slope - a.slope + 2.0 * second
    return b.step - width * (b.slope + second - first) / below if below else math.nan


def _level_point(a: Trial, b: Trial) -> float:
    """Where the line through two slopes is 0; NaN where it does not rise."""
    bend = (b.slope - a.slope) / (b.step - a.step)
    return a.step - a.slope / bend if bend > 0.0 else math.nan


def _check(start: Trial, step: float, decrease: float, curvature: float, max_evaluations: int) -> None:
    if not start.finite:
        raise NonFiniteError(f"`search_line` needs a finite start, got value {start.value} and slope {start.slope}")
    if not start.slope < 0.0:
        raise SpecificationError(f"`search_line` needs a direction with a slope < 0, got {start.slope}")
    if not 0.0 < decrease < curvature < 1.0:
        raise SpecificationError(
            f"`search_line` needs 0 < decrease < curvature < 1, got decrease={decrease}, curvature={curvature}"
        )
    if not 0.0 < step < math.inf or max_evaluations < 1:
        raise SpecificationError(
            f"`search_line` needs a finite step > 0 and max_evaluations >= 1, got {step} and {max_evaluations}"
        )
