"""The best labelling within limits, against brute force."""

from itertools import product

import numpy as np
import pytest

from constraints import InfeasibleError
from constraints.functional import assign_with_limits


@pytest.mark.parametrize("seed", range(10))
def test_matches_brute_force(seed):
    rng = np.random.default_rng(seed)
    scores = np.log(rng.dirichlet(np.full(3, 0.5), size=5))
    groups = np.array([[0, 1, 0], [0, 1, 1]], dtype=float)
    low, high = np.array([1.0, 2.0]), np.array([1.0, 3.0])

    def total(labels):
        return scores[np.arange(5), list(labels)].sum()

    def obeys(labels):
        counts = groups @ np.bincount(labels, minlength=3)
        return (counts >= low).all() and (counts <= high).all()

    best = max((labels for labels in product(range(3), repeat=5) if obeys(labels)), key=total)
    found = assign_with_limits(scores, groups, low, high)
    assert obeys(found)
    assert total(found) == pytest.approx(total(best), abs=1e-6)


def test_impossible_limits_say_so():
    with pytest.raises(InfeasibleError, match="2 cells"):
        assign_with_limits(np.zeros((2, 2)), np.array([[0.0, 1.0]]), np.array([3.0]), np.array([3.0]))
