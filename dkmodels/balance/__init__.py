"""Weights of whole terms of a loss, which move as training goes."""

from dkmodels.balance.annealing import LearningRateAnnealing
from dkmodels.balance.balance import Balance, Term, gradients_of
from dkmodels.balance.gradient_norm import GradientNorm, equal_shares
from dkmodels.balance.relobralo import ReLoBRaLo, relative_weights
from dkmodels.balance.soft_adapt import SoftAdapt, soft_weights
from dkmodels.balance.tangent_kernel import NeuralTangentKernel

__all__ = [
    "Balance",
    "GradientNorm",
    "LearningRateAnnealing",
    "NeuralTangentKernel",
    "ReLoBRaLo",
    "SoftAdapt",
    "Term",
    "equal_shares",
    "gradients_of",
    "relative_weights",
    "soft_weights",
]
