"""Random linear systems `low <= A y <= high` of every kind that hurts, and HiGHS to judge whether they are empty."""

import numpy as np
from scipy.optimize import linprog

KINDS = (
    "plain",
    "degenerate",
    "redundant",
    "empty",
    "badly scaled",
    "low rank",
    "equalities",
    "unbounded",
    "near parallel",
    "a hair wide",
)
SHAPES = ((1, 1), (2, 3), (5, 3), (8, 8), (20, 5), (6, 20), (30, 30))


def random_system(kind, m, n, rng):
    """`A (m, n)`, `low (m,)`, `high (m,)`; empty only where `kind` says so (and m > 1)."""
    a, x, gap = rng.normal(size=(m, n)), rng.normal(size=n), rng.exponential(size=m)
    low, high = np.full(m, -np.inf), a @ x + gap
    two = rng.random(m) < 0.3
    two_sided = np.where(two, high - gap - rng.exponential(size=m), -np.inf)
    half = max(m // 2, 1)
    match kind:
        case "plain":
            low = two_sided
        case "degenerate":  # every row holds with equality in one point
            high = a @ x
        case "redundant":  # rows that others imply, some of them just so
            weights = rng.exponential(size=(m - half, half)) * (rng.random((m - half, half)) < 0.5)
            a[half:] = weights @ a[:half]
            high[half:] = weights @ high[:half] + rng.choice([0, 0, 1.0], size=m - half) * rng.exponential(
                size=m - half
            )
        case "empty":  # a combination of rows contradicts the last
            if m > 1:
                weights = rng.exponential(size=m - 1) * (rng.random(m - 1) < 0.7)
                weights[0] += 0.5
                a[-1] = -(weights @ a[:-1])
                high[-1] = -(weights @ high[:-1]) - 10 ** rng.uniform(-2, 1)
        case "badly scaled":
            rows, columns = 10 ** rng.uniform(-5, 5, size=m), 10 ** rng.uniform(-1, 1, size=n)
            a, low, high = a * rows[:, None] * columns, two_sided * rows, high * rows
        case "low rank":
            rank = max(min(m, n) // 2, 1)
            a = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, n))
            high = a @ x + gap
        case "equalities":
            low = np.where(two, (a @ x), two_sided)
            high = np.where(two, (a @ x), high)
        case "unbounded":
            high[rng.random(m) < 0.5] = np.inf
        case "near parallel":
            h = m // 2
            a[h : 2 * h] = a[:h] + 10 ** rng.uniform(-9, -2) * rng.normal(size=(h, n))
            high[h : 2 * h] = a[h : 2 * h] @ x + gap[h : 2 * h]
        case "a hair wide":
            if m > 1:
                a[1] = -a[0]
                high[0], high[1] = (a @ x)[0], -(a @ x)[0] + 1e-13
    return a, low, high


def is_empty(a, low, high):
    """Whether HiGHS proves that no point exists."""
    lengths = np.maximum(np.linalg.norm(a, axis=1), 1e-300)
    above, below = np.isfinite(high), np.isfinite(low)
    rows = np.concatenate([a[above] / lengths[above, None], -a[below] / lengths[below, None]])
    if not len(rows):
        return False
    bounds = np.concatenate([high[above] / lengths[above], -low[below] / lengths[below]])
    return linprog(np.zeros(a.shape[1]), A_ub=rows, b_ub=bounds, bounds=(None, None)).status == 2
