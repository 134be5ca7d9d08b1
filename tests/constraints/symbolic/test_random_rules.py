"""Ten thousand random rules: what is called Hard is held, and no contradiction is accepted."""

import importlib.util
import random
from pathlib import Path

import pytest
import sympy
import torch

from constraints import ConstraintError, Guarantee, InfeasibleError, SpecificationError, UncertifiedError
from constraints.functional.solver_formula import SolverFormulas, solver_installed
from constraints.sets import BestEffort, certificates
from constraints.symbolic import declare

spec = importlib.util.spec_from_file_location("random_rules", Path(__file__).parent / "random_rules.py")
rules = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rules)

SHARDS, EACH = 10, 1000
UNCERTIFIED: list[sympy.Basic] = []
POINTS = 3
OUTPUTS = {y: i for i, y in enumerate(rules.OUTPUTS)}
INPUTS = {x: i for i, x in enumerate(rules.INPUTS)}


def examine(statement, generator):
    """What became of one statement, after every check that applies."""
    try:
        rule = declare(statement, outputs=OUTPUTS, inputs=INPUTS, name="it")
    except InfeasibleError:
        return "contradiction"
    except SpecificationError as error:
        told = str(error)
        if not any(reason in told for reason in ("says nothing", "speak of an output", "boundary")):
            raise
        return "refused"
    kind, hard = rule.found.kind, "Hard" in rule.explain().embeddings
    assert hard == (kind != "unknown"), (statement, kind)
    if not hard:
        y = torch.randn(4, 5, generator=generator, dtype=torch.float64) * 3
        x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        assert not bool(rule.measure(torch.nn.Identity(), x, y).isnan().any()), statement
        return kind
    y = torch.randn(POINTS, 5, generator=generator, dtype=torch.float64) * 4
    x = torch.randn(POINTS, 2, generator=generator, dtype=torch.float64) * 2
    count = 1 if "equality" in kind else POINTS  # Newton's method is slow
    try:
        found = list(enumerate(rule.enforce(y[:count], x[:count])))
    except (InfeasibleError, UncertifiedError):  # some sample has no point: that is said, not silent
        found = []
        for i in range(count):
            try:
                found.append((i, rule.enforce(y[i : i + 1], x[i : i + 1])[0]))
            except (InfeasibleError, UncertifiedError):
                assert rule.found.entries or rule.explain().guarantee is Guarantee.TOLERANCE, statement
                UNCERTIFIED.append(statement)
    for i, obeying in found:
        assert bool(obeying.isfinite().all()), (statement, obeying)
        values = dict(zip(rules.OUTPUTS, obeying.tolist(), strict=True))
        values |= dict(zip(rules.INPUTS, x[i].tolist(), strict=True))
        assert rules.holds(statement, values, atol=1e-9), (statement, kind, values)
    return kind


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_is_hard_is_held(shard):
    torch.set_num_threads(1)
    rng = random.Random(shard)
    generator = torch.Generator().manual_seed(shard)
    seen = {}
    for _ in range(EACH):
        kind = examine(rules.random_statement(rng), generator)
        seen[kind] = seen.get(kind, 0) + 1
    fixed = [statement for statement in UNCERTIFIED if not statement.free_symbols & set(INPUTS)]
    assert len(fixed) <= EACH / 50, fixed
    assert {"box", "affine", "half-space", "polytope", "simplex", "order", "ball", "disjunction"} <= seen.keys()
    assert seen["contradiction"] > EACH / 50
    assert seen["unknown"] > EACH / 50


@pytest.mark.skipif(not solver_installed(), reason="needs z3")
def test_no_contradiction_is_accepted():
    """A solver that `declare` does not ask for hard rules agrees on which statements some output satisfies."""
    rng = random.Random(77)
    asked = contradictions = 0
    while asked < 400:
        statement = rules.random_statement(rng)
        formulas = SolverFormulas({"it": statement.xreplace({s: s for s in statement.free_symbols})}, timeout=2000)
        found = formulas.satisfiable(["it"]) if formulas.known else None
        if found is None:
            continue
        asked += 1
        try:
            rule = declare(statement, outputs=OUTPUTS, inputs=INPUTS, name="it")
        except InfeasibleError:
            strictly = SolverFormulas({"it": statement}, slack=-1e-6, timeout=2000).satisfiable(["it"])
            assert strictly is not True, statement
            contradictions += 1
            continue
        except SpecificationError:
            continue
        assert found or rule.found.entries, statement  # numbers from the input may contradict: seen at each sample
    assert contradictions > 20


def test_a_conic_solver_holds_convex_rules():
    rng, generator = random.Random(5), torch.Generator().manual_seed(5)
    kinds = [examine(rules.convex(rng), generator) for _ in range(12)]
    assert set(kinds) <= {"quadratic", "convex", "contradiction"}


def test_a_contradiction_by_the_input_is_named_for_its_sample():
    a, b = rules.OUTPUTS[:2]
    x = rules.INPUTS[0]
    rule = declare([sympy.Eq(a + b, x), a >= 0, b >= 0], outputs=[a, b], inputs=[x], fallback=BestEffort())
    rule.bind(["y0", "y1"])
    rule.bind_inputs(["x0"])
    with certificates() as found:
        rule.enforce(torch.zeros(2, 2), torch.tensor([[1.0], [-1.0]]))
    assert found[0][1].feasible.tolist() == [True, False]
    with pytest.raises(ConstraintError):
        declare([sympy.Eq(a + b, x), a >= 0, b >= 0], outputs={a: 0, b: 1}, inputs={x: 0}).enforce(
            torch.zeros(1, 2), torch.tensor([[-1.0]])
        )
