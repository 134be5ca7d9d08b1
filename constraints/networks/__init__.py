"""Architectures that guarantee the shape of a function: monotone, convex, Lipschitz, symmetric."""
