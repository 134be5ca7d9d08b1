"""Samplers: at which points of a domain a rule is tested."""

from constraints.sampling.causal import CausalWindows
from constraints.sampling.pool import Pool, ResidualAdaptive, RetainResample
from constraints.sampling.sampler import Probe, Sampler
from constraints.sampling.unit_cube import LatinHypercube, Sobol, Uniform
from constraints.sampling.weighted import Importance

__all__ = [
    "CausalWindows",
    "Importance",
    "LatinHypercube",
    "Pool",
    "Probe",
    "ResidualAdaptive",
    "RetainResample",
    "Sampler",
    "Sobol",
    "Uniform",
]
