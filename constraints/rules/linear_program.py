"""Linear programs over the rows of rules: is there an output, and how far can it go?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from constraints.functional import program_unit
from constraints.rules.linear_rows import LinearRows, Numbers

__all__ = ["maximise", "row_lengths", "unit_of"]


def unit_of(systems: Sequence[LinearRows]) -> float:
    """The unit in which to measure the numbers of systems, their rows brought to length one: see `program_unit`."""
    parts = [
        abs(bound) / length
        for s in systems
        for bound, length in (
            (s.target, row_lengths(s.equal)),
            (s.low, row_lengths(s.matrix)),
            (s.high, row_lengths(s.matrix)),
            (s.floor, 1.0),
            (s.ceiling, 1.0),
        )
    ]
    numbers = np.concatenate([np.zeros(1), *parts])
    return program_unit(float(numbers[np.isfinite(numbers)].max()))


def row_lengths(rows: Numbers) -> Numbers:
    """Length of each row, 1 for a row of zeros."""
    lengths: Numbers = np.linalg.norm(rows, axis=1)
    return np.where(lengths > 0, lengths, 1.0)


def maximise(system: LinearRows, direction: Numbers | None = None) -> tuple[str, float]:
    """The most that `direction . y` can be, by HiGHS: `("optimal", value)`, `("unbounded", inf)`, `("empty", nan)`.

    Rows are scaled to length one, and numbers to the unit of `unit_of`, so that HiGHS's tolerance means the same in
    each. Numbers that no value can meet (a NaN, an infinite target) leave the system empty.
    """
    n = system.matrix.shape[1]
    impossible = (
        ~np.isfinite(system.target).all()
        or np.isnan(system.low).any()
        or np.isnan(system.high).any()
        or (system.low == np.inf).any()
        or (system.high == -np.inf).any()
        or (system.floor > system.ceiling).any()
    )
    if impossible:
        return "empty", np.nan
    unit = unit_of([system])
    lengths = [row_lengths(part) for part in (system.equal, system.matrix)]
    above, below = np.isfinite(system.high), np.isfinite(system.low)
    rows = system.matrix / lengths[1][:, None]
    high, low = system.high / lengths[1] / unit, system.low / lengths[1] / unit
    upper = np.concatenate([rows[above], -rows[below]])
    found = linprog(
        np.zeros(n) if direction is None else -direction,
        A_ub=upper if len(upper) else None,
        b_ub=np.concatenate([high[above], -low[below]]) if len(upper) else None,
        A_eq=system.equal / lengths[0][:, None] if len(system.equal) else None,
        b_eq=system.target / lengths[0] / unit if len(system.equal) else None,
        bounds=list(zip((system.floor / unit).tolist(), (system.ceiling / unit).tolist(), strict=True)),
    )
    if found.status == 0:
        return "optimal", -float(found.fun or 0.0) * unit
    if found.status == 3:
        return "unbounded", np.inf
    if found.status == 2 and direction is not None:  # HiGHS may call an unbounded problem infeasible
        return ("unbounded", np.inf) if maximise(system)[0] != "empty" else ("empty", np.nan)
    return "empty" if found.status == 2 else "optimal", np.nan
