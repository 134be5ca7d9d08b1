"""The IEEE 14-bus test case, as far as DC power flow needs it.

Loads, reactances and transformer ratios are the public numbers of the University of Washington's archive of power
systems test cases (a part of the American Electric Power network of 1962); generator limits and costs are those of the
`case14` that comes with MATPOWER (Zimmerman et al., doi:10.1109/TPWRS.2010.2051168). The case has no line limits: the
ones here are ours, round numbers chosen once so that the cheapest dispatch of the nominal load overloads seven lines
(1-2, 1-5, 2-3, 2-4, 2-5, 4-5, 5-6), three quarters of the samples have a line at its limit, and all can be served.

DC power flow: voltages 1, angles small, no losses. With the branches' `b_l = 1 / (x_l r_l)` and the bus matrix made of
them, flows are linear in the injections, `f = P (g - d)`: power transfer distribution factors `P`, bus 1 as the slack.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BRANCHES", "CAPACITY", "COST", "DEMAND", "GENERATORS", "LIMITS", "LOADS", "MVA", "transfer_factors"]

Array = NDArray[np.float64]

#: Base power: 1 per unit in MW.
MVA: Final = 100.0

#: Nominal demand by bus, MW.
LOADS: Final = {
    2: 21.7, 3: 94.2, 4: 47.8, 5: 7.6, 6: 11.2, 9: 29.5, 10: 9.0, 11: 3.5, 12: 6.1, 13: 13.5, 14: 14.9,
}  # fmt: skip

#: From bus, to bus, reactance in per unit, transformer ratio, limit in MW (ours).
BRANCHES: Final = (
    (1, 2, 0.05917, 1.0, 130.0),
    (1, 5, 0.22304, 1.0, 65.0),
    (2, 3, 0.19797, 1.0, 60.0),
    (2, 4, 0.17632, 1.0, 50.0),
    (2, 5, 0.17388, 1.0, 40.0),
    (3, 4, 0.17103, 1.0, 40.0),
    (4, 5, 0.04211, 1.0, 60.0),
    (4, 7, 0.20912, 0.978, 30.0),
    (4, 9, 0.55618, 0.969, 20.0),
    (5, 6, 0.25202, 0.932, 40.0),
    (6, 11, 0.19890, 1.0, 20.0),
    (6, 12, 0.25581, 1.0, 20.0),
    (6, 13, 0.13027, 1.0, 40.0),
    (7, 8, 0.17615, 1.0, 30.0),
    (7, 9, 0.11001, 1.0, 40.0),
    (9, 10, 0.08450, 1.0, 20.0),
    (9, 14, 0.27038, 1.0, 20.0),
    (10, 11, 0.19207, 1.0, 20.0),
    (12, 13, 0.19988, 1.0, 10.0),
    (13, 14, 0.34802, 1.0, 15.0),
)

#: Bus, greatest output in MW, quadratic cost in $/MW^2h, linear cost in $/MWh. The least output is 0.
GENERATORS: Final = (
    (1, 332.4, 0.0430292599, 20.0),
    (2, 140.0, 0.25, 20.0),
    (3, 100.0, 0.01, 40.0),
    (6, 100.0, 0.01, 40.0),
    (8, 100.0, 0.01, 40.0),
)

BUSES: Final = 14
#: In per unit: demand of the buses that have one, greatest output of each generator, limit of each line.
DEMAND: Final = np.array(list(LOADS.values())) / MVA
CAPACITY: Final = np.array([row[1] for row in GENERATORS]) / MVA
LIMITS: Final = np.array([row[4] for row in BRANCHES]) / MVA
#: Quadratic and linear cost of each generator, $/h for an output in per unit.
COST: Final = (
    np.array([row[2] for row in GENERATORS]) * MVA**2,
    np.array([row[3] for row in GENERATORS]) * MVA,
)


def transfer_factors() -> tuple[Array, Array]:
    """Flow in each line for one unit of generation at each generator, and of demand at each load bus (with its sign).

    Returns:
        `(lines, generators)` and `(lines, loads)`: flows are the first times `g` less the second times `d`.

    Example:
        >>> by_generator, by_load = transfer_factors()
        >>> by_generator.shape, by_load.shape, bool((by_generator[:, 0] == 0).all())
        ((20, 5), (20, 11), True)
    """
    susceptance = np.array([1.0 / (x * ratio) for _, _, x, ratio, _ in BRANCHES])
    incidence = np.zeros((len(BRANCHES), BUSES))
    for line, (start, end, *_) in enumerate(BRANCHES):
        incidence[line, start - 1], incidence[line, end - 1] = 1.0, -1.0
    weighted = susceptance[:, None] * incidence
    bus = incidence.T @ weighted
    factors = np.zeros((len(BRANCHES), BUSES))
    factors[:, 1:] = weighted[:, 1:] @ np.linalg.inv(bus[1:, 1:])  # bus 1 is the slack
    return factors[:, [row[0] - 1 for row in GENERATORS]], factors[:, [bus - 1 for bus in LOADS]]
