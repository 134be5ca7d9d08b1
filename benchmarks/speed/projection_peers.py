"""The same projection, by us and by the peers: each as a function of the value, forward and with a backward pass.

Every peer is asked for the nearest point of `{A y <= b}`, in float64, on one core. A peer that is not installed, or
that cannot do a case, is left out of that case's row and says why.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class LeftOut(Exception):
    """We do not ask this method for this case, and why."""


@dataclass(frozen=True)
class Case:
    """`{A y <= b}` and a batch of values, most of them outside."""

    n: int
    m: int
    batch: int

    def __str__(self) -> str:
        return f"{self.n}, {self.m}, {self.batch}"

    def system(self) -> tuple[Numbers, Numbers, Numbers]:
        rng = np.random.default_rng([self.n, self.m])
        a = rng.normal(size=(self.m, self.n)) / np.sqrt(self.n)
        return a, rng.random(self.m) * 0.3, rng.normal(size=(self.batch, self.n))


@dataclass(frozen=True)
class Runner:
    """One method on one case.

    Attributes:
        forward: projects once and returns the points.
        backward: projects, and takes the gradient of the sum of squares of the points.
        note: settings worth saying.
    """

    forward: Callable[[], Numbers]
    backward: Callable[[], Any]
    note: str = ""


def _torch_runner(project: Callable[[torch.Tensor], torch.Tensor], v: Numbers, note: str = "") -> Runner:
    plain, learnt = torch.from_numpy(v), torch.from_numpy(v.copy()).requires_grad_()

    def forward() -> Numbers:
        with torch.no_grad():
            return project(plain).numpy()

    def backward() -> None:
        learnt.grad = None
        project(learnt).square().sum().backward()

    return Runner(forward, backward, note)


def floor(case: Case) -> Runner:
    """The matrix product `v A` alone: what no layer can be faster than."""
    a, _, v = case.system()
    rows = torch.from_numpy(a)
    return _torch_runner(lambda value: value @ rows.mT, v)


def ours(case: Case) -> Runner:
    from constraints import Polytope

    a, b, v = case.system()
    return _torch_runner(Polytope(torch.from_numpy(a), high=torch.from_numpy(b)).project, v)


def cvxpylayers(case: Case, **solver: Any) -> Runner:
    cp: Any = importlib.import_module("cvxpy")
    layers: Any = importlib.import_module("cvxpylayers.torch")

    if case.batch * case.n * case.m > 2e6:
        raise LeftOut("would take minutes a call")
    a, b, v = case.system()
    point, value = cp.Variable(case.n), cp.Parameter(case.n)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(point - value)), [a @ point <= b])
    layer = layers.CvxpyLayer(problem, parameters=[value], variables=[point])
    return _torch_runner(lambda given: layer(given, solver_args=solver)[0], v)


def cvxpylayers_tight(case: Case) -> Runner:
    return cvxpylayers(case, eps=1e-8, max_iters=100_000)


def qpth(case: Case) -> Runner:
    from qpth.qp import QPFunction

    if case.batch * case.m**3 > 4e9:
        raise LeftOut("would take minutes a call")
    a, b, v = case.system()
    eye, rows, limits = torch.eye(case.n, dtype=torch.float64), torch.from_numpy(a), torch.from_numpy(b)
    none = torch.empty(0, dtype=torch.float64)
    solve = QPFunction(verbose=-1)
    return _torch_runner(lambda value: solve(eye, -value, rows, limits, none, none), v)


def pinet(case: Case, target: float = 1e-6) -> Runner:
    """Pi-net, with as many iterations as bring its worst violation to `target`."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from pinet import AffineInequalityConstraint, Project, ProjectionInstance

    a, b, v = case.system()
    inequality = AffineInequalityConstraint(
        c_mat=jnp.asarray(a[None]), lb=jnp.full((1, case.m, 1), -jnp.inf), ub=jnp.asarray(b[None, :, None])
    )
    layer = Project(ineq_constraint=inequality)
    given = jnp.asarray(v[:, :, None])
    best, chosen = np.inf, 0
    for iterations in (50, 100, 200, 500, 1000, 2000, 5000, 10000):
        if case.batch * case.n * case.m * iterations > 4e10:
            break
        points = _pinet_call(layer, ProjectionInstance, iterations)(given)
        worst = float((np.asarray(points)[..., 0] @ a.T - b).max())
        if worst < best:
            best, chosen = worst, iterations
        if worst <= target:
            break
    call = _pinet_call(layer, ProjectionInstance, chosen)
    forward = jax.jit(call)
    gradient = jax.jit(jax.grad(lambda x: (call(x) ** 2).sum()))
    return Runner(
        lambda: np.asarray(forward(given))[..., 0],
        lambda: gradient(given).block_until_ready(),
        f"{chosen} iterations",
    )


def _pinet_call(layer: Any, instance: Any, iterations: int) -> Callable[[Any], Any]:
    def call(x: Any) -> Any:
        given = instance(x=x)
        return layer.call(s0=layer.initialize(given), y_raw=given, n_iter=iterations, n_iter_bwd=iterations)[0].x

    return call


def pishield(case: Case) -> Runner:
    """PiShield corrects variable after variable, which is feasible but not the nearest point."""
    from pishield.shield_layer import build_shield_layer

    if case.m * case.n > 200:
        raise LeftOut("its elimination of variables does not end on dense rows")
    a, b, v = case.system()
    # It reads neither `<=` nor exponents.
    rows = ["".join(f"{'-' if c > 0 else '+'}{abs(c):.17f}y_{j}" for j, c in enumerate(row)) for row in a]
    text = "ordering " + " ".join(f"y_{j}" for j in range(case.n)) + "\n"
    text += "\n".join(f"{row}>={-limit:.17f}" for row, limit in zip(rows, b, strict=True))
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
        file.write(text)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every row
            layer = build_shield_layer(case.n, file.name, requirements_type="linear")
    finally:
        os.unlink(file.name)
    return _torch_runner(lambda value: layer(value.float()), v, "float32, not the nearest point")


METHODS: dict[str, Callable[[Case], Runner]] = {
    "floor": floor,
    "ours": ours,
    "cvxpylayers": cvxpylayers,
    "cvxpylayers, eps 1e-8": cvxpylayers_tight,
    "qpth": qpth,
    "Pi-net": pinet,
    "PiShield": pishield,
}
