"""Reference optima of the test instances: `python -m benchmarks.qp.reference` makes `optima.npz` anew (a minute).

The equalities are eliminated, :math:`y = A^+ x + N z` with an orthonormal basis `N` of the kernel, and scipy's SLSQP
solves the rest from several starts: :math:`z = 0` (where the published solvers begin), and random ones. Every optimum
is then tested: what it violates, and how far the gradient is from the cone of the active constraints (a non-negative
least-squares problem, independent of the solver). The best of the starts is kept. On the convex problem there is only
one minimum; on the others it is the best that was found, which nobody has shown to be the global one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import OptimizeResult, minimize, nnls

from benchmarks.qp.problem import Linear, Problem, Sine, dc3_problem, hardnet_problem

__all__ = ["FILE", "Optimum", "load_optima", "problems", "solve"]

Array = NDArray[np.float64]
FILE = Path(__file__).with_name("optima.npz")
STARTS = 6


@final
@dataclass(frozen=True, eq=False)
class Optimum:
    """A local minimum and how good it is.

    Attributes:
        y: where, `(n,)`.
        value: the objective there.
        violation: largest violation of a constraint.
        stationarity: norm of the gradient's part that no active constraint explains, over that of the gradient.
        price: largest multiplier of a constraint.
    """

    y: Array
    value: float
    violation: float
    stationarity: float
    price: float


def problems() -> dict[str, Problem]:
    """The three families by the name under which their optima are kept."""
    return {"convex": dc3_problem(Linear()), "nonconvex": dc3_problem(Sine()), "hardnet": hardnet_problem()}


def load_optima(name: str) -> tuple[Array, float]:
    """Optimal values of a family's test instances, and the largest multiplier among them."""
    with np.load(FILE) as file:
        return file[f"{name}/value"], float(file[f"{name}/price"])


@final
class _Reduced:
    """One instance without its equalities."""

    def __init__(self, problem: Problem, kernel: Array, x: Array) -> None:
        self.problem, self.kernel = problem, kernel
        self.base = np.linalg.lstsq(problem.a, x, rcond=None)[0]
        self.rows = problem.g @ kernel
        self.room = problem.h - problem.g @ self.base

    def lift(self, z: Array) -> Array:
        y: Array = self.base + self.kernel @ z
        return y

    def value(self, z: Array) -> float:
        return self.value_and_slope(z)[0]

    def slope(self, z: Array) -> Array:
        return self.value_and_slope(z)[1]

    def value_and_slope(self, z: Array) -> tuple[float, Array]:
        y = self.lift(z)
        value, slope = self.problem.term.with_slope(y)
        f = float(0.5 * (self.problem.q * y * y).sum() + self.problem.p @ value)
        return f, self.kernel.T @ (self.problem.q * y + self.problem.p * slope)

    def solve(self, start: Array) -> Array:
        limits = {"type": "ineq", "fun": lambda z: self.room - self.rows @ z, "jac": lambda z: -self.rows}
        found: OptimizeResult = minimize(  # type: ignore[call-overload]
            self.value,
            start,
            jac=self.slope,
            method="SLSQP",
            constraints=limits,
            options={"maxiter": 500, "ftol": 1e-14},
        )
        z: Array = found.x
        return z

    def judge(self, z: Array, x: Array) -> Optimum:
        y, (value, slope) = self.lift(z), self.value_and_slope(z)
        slack = self.room - self.rows @ z
        active = self.rows[slack <= 1e-6]
        multipliers, gap = nnls(active.T, -slope) if len(active) else (np.zeros(0), float(np.linalg.norm(slope)))
        _, full = self.problem.term.with_slope(y)
        # The equalities' multipliers explain what is left outside the kernel.
        rest = self.problem.q * y + self.problem.p * full
        rest += self.problem.g[slack <= 1e-6].T @ multipliers
        equal = np.linalg.lstsq(self.problem.a.T, -rest, rcond=None)[0]
        violation = max(float(np.abs(self.problem.a @ y - x).max()), float((-slack).max()), 0.0)
        scale = max(1.0, float(np.linalg.norm(slope)))
        return Optimum(y, value, violation, gap / scale, float(np.abs(np.r_[multipliers, equal]).max()))


def solve(problem: Problem, x: Array, *, starts: int = STARTS, seed: int = 0) -> Optimum:
    """The best local minimum found for one instance.

    Args:
        problem: the family.
        x: the instance, `(m,)`.
        starts: how many starts; the first is the published one.
        seed: of the others.
    """
    rng = np.random.default_rng(seed)
    reduced = _Reduced(problem, null_space(problem.a), x)
    size = reduced.rows.shape[1]
    begin = [np.zeros(size), *(2.0 * rng.standard_normal((starts - 1, size)))]
    found = [reduced.judge(reduced.solve(z), x) for z in begin]
    good = [o for o in found if o.violation <= 1e-8 and o.stationarity <= 1e-5]
    if not good:
        worst = [(o.violation, o.stationarity) for o in found]
        raise RuntimeError(f"no start of {starts} ended in a minimum: (violation, stationarity) {worst}")
    return min(good, key=lambda o: o.value)


def main() -> None:
    """Solve every test instance of every family and write the file."""
    kept: dict[str, Array] = {}
    for name, problem in problems().items():
        starts = 1 if name == "convex" else STARTS
        found = [solve(problem, x, starts=starts, seed=i) for i, x in enumerate(problem.test)]
        best = np.array([o.value for o in found])
        first = np.array([solve(problem, x, starts=1).value for x in problem.test])
        price = max(o.price for o in found)
        kept |= {f"{name}/value": best, f"{name}/price": np.array(price)}
        print(
            f"{name}: mean optimum {best.mean():.4f} of {len(best)} instances, {int((first - best > 1e-6).sum())} "
            f"better than from the published start; worst violation {max(o.violation for o in found):.1e}, worst "
            f"stationarity {max(o.stationarity for o in found):.1e}, largest multiplier {price:.3f}"
        )
    np.savez_compressed(FILE, **kept)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
