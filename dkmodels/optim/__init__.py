"""Optimisers that torch lacks, for small networks on full batches."""

from dkmodels.optim.inverse_update import BFGS, InverseUpdate, SelfScaledBFGS, SelfScaledBroyden
from dkmodels.optim.levenberg_marquardt import LevenbergMarquardt
from dkmodels.optim.normal_equations import AsksSquares, NormalEquations, kernel_trace, normal_equations
from dkmodels.optim.nystrom_newton import NystromNewtonCG
from dkmodels.optim.quasi_newton import QuasiNewton
from dkmodels.optim.soap import SOAP
from dkmodels.optim.stage_monitor import StageMonitor
from dkmodels.optim.stages import Stage, Stages

__all__ = [
    "BFGS",
    "SOAP",
    "AsksSquares",
    "InverseUpdate",
    "LevenbergMarquardt",
    "NormalEquations",
    "NystromNewtonCG",
    "QuasiNewton",
    "SelfScaledBFGS",
    "SelfScaledBroyden",
    "Stage",
    "StageMonitor",
    "Stages",
    "kernel_trace",
    "normal_equations",
]
