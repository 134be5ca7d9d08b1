"""Units: what may be added, and on which scale."""

import pytest
import sympy
import torch
from sympy import Abs, Eq, Max, Piecewise, exp, sqrt
from sympy.physics import units as si

from constraints import SpecificationError, declare
from constraints.symbolic.units import scale_of

SPEED, GAP, TIME, MASS = sympy.symbols("speed gap time mass")
UNITS = {SPEED: si.kilometer / si.hour, GAP: si.meter, TIME: si.second, MASS: si.kilogram}
OUT, IN = {GAP: 0, SPEED: 1, MASS: 2}, {TIME: 0}


def test_scales_are_brought_together():
    rule = declare(SPEED * 2 * si.second <= GAP, outputs=OUT, inputs=IN, units=UNITS)
    y = torch.tensor([[10.0, 36.0, 0.0]], dtype=torch.float64)
    assert rule.measure(torch.nn.Identity(), y, y).item() == pytest.approx(10.0)  # 36 km/h is 10 m/s
    assert rule.unit == "m"
    held = rule.enforce(y)
    assert float(held[0, 0] - held[0, 1] / 3.6 * 2) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("statement", "unit"),
    [
        (GAP >= 0, "m"),
        (5 * si.kilometer >= GAP, "m"),
        (exp(-GAP / (3 * si.meter)) <= TIME / si.second, "1"),
        (Eq(MASS * SPEED**2 / 2, 100 * si.joule), "m^2 kg s^-2"),
        (Abs(GAP - 2 * si.meter) <= 1 * si.inch, "m"),
        (sqrt(GAP * GAP + 4 * si.meter**2) <= 9 * si.meter, "m"),
        (Piecewise((2 * si.meter, 1 * si.minute < TIME), (si.kilometer, True)) >= GAP, ""),
    ],
    ids=str,
)
def test_what_agrees_is_taken(statement, unit):
    assert declare(statement, outputs=OUT, inputs=IN, units=UNITS).unit == unit


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (3 * si.meter >= GAP + TIME, "gap is in m, time is in s"),
        (GAP >= SPEED, "gap is in m, speed is in m s\\^-1"),
        (GAP <= 5, "5 is in 1"),
        (exp(GAP) <= 1, "cancel inside exp"),
        (Max(GAP, TIME) <= 1, "gap is in m, time is in s"),
        (2**GAP <= 1, "exponent"),
        (Piecewise((2 * si.meter, 1 * si.meter < TIME), (si.meter, True)) >= GAP, "time is in s"),
        (3 * si.meter >= MASS * GAP, "m kg"),
    ],
    ids=str,
)
def test_metres_are_not_added_to_seconds(statement, told):
    with pytest.raises(SpecificationError, match=told):
        declare(statement, outputs=OUT, inputs=IN, units=UNITS)


def test_units_are_products_of_units():
    factor, kind = scale_of(si.kilo * si.watt * si.hour)
    assert (factor, str(kind)) == (3600000, "m^2 kg s^-2")
    with pytest.raises(SpecificationError, match="product of units"):
        scale_of(si.meter + si.second)
    with pytest.raises(SpecificationError, match="product of units"):
        scale_of(sympy.Symbol("q") * si.meter)
