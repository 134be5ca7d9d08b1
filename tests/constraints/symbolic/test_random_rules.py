"""Random rules (RANDOM_RULES=1000 for ten thousand): what is called Hard is held, and no contradiction is accepted."""

import importlib.util
import os
import random
from pathlib import Path

import pytest
import sympy
import torch

from constraints import ConstraintError, Guarantee, InfeasibleError, ShapeError, SpecificationError, UncertifiedError
from constraints.functional.solver_formula import SolverFormulas, solver_installed
from constraints.sets import BestEffort, certificates
from constraints.symbolic import declare

spec = importlib.util.spec_from_file_location("random_rules", Path(__file__).parent / "random_rules.py")
rules = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rules)

SHARDS, EACH = 10, int(os.environ.get("RANDOM_RULES", "120"))
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
    UNCERTIFIED.clear()
    for _ in range(EACH):
        kind = examine(rules.random_statement(rng), generator)
        seen[kind] = seen.get(kind, 0) + 1
    fixed = [statement for statement in UNCERTIFIED if not statement.free_symbols & set(INPUTS)]
    assert len(fixed) <= EACH / 40, fixed
    assert {"box", "affine", "half-space", "polytope", "order", "disjunction"} <= seen.keys()
    assert seen["contradiction"] > EACH / 50
    assert seen["unknown"] > EACH / 50


@pytest.mark.skipif(not solver_installed(), reason="needs z3")
def test_no_contradiction_is_accepted():
    """A solver that `declare` does not ask for hard rules agrees on which statements some output satisfies."""
    rng = random.Random(77)
    asked = contradictions = 0
    while asked < 120:
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
    assert contradictions > 6


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


def test_random_formulas_hold_for_the_labels():
    rng, generator = random.Random(3), torch.Generator().manual_seed(3)
    held = refused = 0
    for _ in range(80):
        statement = rules.formula(rng)
        threshold = rng.choice([0.5, 0.3, -2.0, 1e-3, 40.0, 1e4])
        margin = rng.choice([None, None, 0.05, 0.5])
        try:
            rule = declare(statement, outputs=OUTPUTS, threshold=threshold, margin=margin, name="it")
        except SpecificationError as error:  # InfeasibleError among them
            told = str(error)
            reasons = ("says nothing", "no output satisfies it", "no label that must not hold", "speak of an output")
            if not any(reason in told for reason in reasons):
                raise
            refused += 1
            continue
        assert rule.enforceable, statement
        y = threshold + max(1.0, abs(threshold)) * torch.randn(12, 5, generator=generator, dtype=torch.float64)
        y[:2] = threshold
        for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            answer = rule.enforce(y.to(dtype), None)
            assert answer.dtype == (dtype if dtype == torch.float64 else torch.float32)
            for row in (answer.double() >= threshold).tolist():
                assert rules.truth(statement, row), (statement, threshold, margin, dtype)
        held += 1
    assert held > 40 and refused > 2


def test_random_rules_hold_at_any_scale_and_in_half_precision():
    """The rule of outputs in other units holds, and what half precision gives is mapped in float32."""
    rng, generator = random.Random(4), torch.Generator().manual_seed(4)
    held = 0
    for _ in range(90):
        statement, scale = rng.choice(rules.SCALABLE)(rng), 10.0 ** rng.uniform(-6.0, 6.0)
        other = statement.xreplace({y: y / sympy.Float(scale) for y in rules.OUTPUTS})
        try:
            rule = declare(other, outputs=OUTPUTS, inputs=INPUTS, name="it")
        except InfeasibleError:
            with pytest.raises(InfeasibleError):
                declare(statement, outputs=OUTPUTS, inputs=INPUTS)
            continue
        except SpecificationError as error:
            if "boundary" not in str(error) and "says nothing" not in str(error):
                raise
            continue
        if "Hard" not in rule.explain().embeddings:
            continue
        y = 4.0 * torch.randn(2, 5, generator=generator, dtype=torch.float64)
        x = 2.0 * torch.randn(2, 2, generator=generator, dtype=torch.float64)
        kinds = [torch.float64] + ([torch.bfloat16, torch.float16] if 1e-2 < scale < 1e2 else [])
        for dtype in kinds:
            given = x if dtype == torch.float64 else x.to(dtype).float()
            for i in range(2):
                try:
                    answer = rule.enforce((scale * y[i : i + 1]).to(dtype), given[i : i + 1])[0]
                except (InfeasibleError, UncertifiedError):
                    assert rule.found.entries or rule.explain().guarantee is Guarantee.TOLERANCE, (statement, scale)
                    continue
                assert answer.dtype == (dtype if dtype == torch.float64 else torch.float32)
                values = dict(zip(rules.OUTPUTS, (answer.double() / scale).tolist(), strict=True))
                values |= dict(zip(rules.INPUTS, given[i].tolist(), strict=True))
                atol = 1e-8 if dtype == torch.float64 else 1e-4
                assert rules.holds(statement, values, atol=atol), (statement, scale, dtype, values)
                held += 1
    assert held > 60


def test_random_rules_refuse_outputs_of_another_width():
    rng = random.Random(6)
    for _ in range(25):
        try:
            rule = declare(rules.random_statement(rng), outputs=rules.OUTPUTS, inputs=rules.INPUTS, name="it")
        except SpecificationError:
            continue
        rule.bind([y.name for y in rules.OUTPUTS])
        rule.bind_inputs([x.name for x in rules.INPUTS])
        for width in (1, 4, 6, 10):
            with pytest.raises(ShapeError, match="rule `it` needs the 5 outputs"):
                rule.measure(torch.nn.Identity(), torch.zeros(3, 2), torch.zeros(3, width))
        with pytest.raises(ShapeError, match="rule `it`"):
            rule.measure(torch.nn.Identity(), torch.zeros(3, 5), torch.zeros(3, 6))
