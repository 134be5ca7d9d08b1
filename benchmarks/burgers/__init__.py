"""Burgers' equation with a shock: what the equation, its conditions and its symmetry are worth beside noisy sensors."""
