"""Every example in the docstrings of the problems runs."""

import doctest
import importlib

import pytest

NAMES = ("allen_cahn", "heat_inverse", "kdv", "lorenz_inverse", "navier_stokes", "pendulum", "poisson", "spectral")


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name):
    module = importlib.import_module(f"benchmarks.fields.{name}")
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0 and found.failed == 0
    assert all(hasattr(module, public) for public in module.__all__)
