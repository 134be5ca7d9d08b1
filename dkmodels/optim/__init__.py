"""Optimisers that torch lacks, for small networks on full batches."""

from dkmodels.optim.inverse_update import BFGS, InverseUpdate, SelfScaledBFGS, SelfScaledBroyden
from dkmodels.optim.levenberg_marquardt import LevenbergMarquardt
from dkmodels.optim.nystrom_newton import NystromNewtonCG
from dkmodels.optim.quasi_newton import QuasiNewton

__all__ = ["BFGS", "InverseUpdate", "LevenbergMarquardt", "NystromNewtonCG", "QuasiNewton", "SelfScaledBFGS", "SelfScaledBroyden"]
