"""Rule text: what it says, what it refuses, and that nothing in it is ever run."""

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import sympy
import torch

from constraints import BestEffort, ConstraintError, Hierarchy, RuleSet, RuleTextError, join
from constraints.embeddings import Hard
from constraints.symbolic import Learnable, load_rules, read_rules
from constraints.symbolic.grammar import read_statement

A, B, C = sympy.symbols("a b c")
HEAD = "outputs: a, b, c\ninputs: t\n"


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("a + 2b <= 3", A + 2 * B <= 3),
        ("a >= 2 (b + c)", A >= 2 * (B + C)),
        ("a == b", sympy.Eq(A, B)),
        ("a = -b^2", sympy.Eq(A, -(B**2))),
        ("a = 2^-1 * b", sympy.Eq(A, B / 2)),
        ("a ≤ b ≤ c", sympy.And(A <= B, B <= C)),
        ("a/b/c >= 1", A / B / C >= 1),
        ("a - b - c >= 1", A - B - C >= 1),
        ("not a <= 1 or b >= 2", sympy.Or(A > 1, B >= 2)),
        ("neg a >= 1", A < 1),
        ("a <= 1 and b <= 2 or c <= 3", sympy.Or(sympy.And(A <= 1, B <= 2), C <= 3)),
        ("a > 1 -> b >= 2 -> c >= 3", sympy.Implies(A > 1, sympy.Implies(B >= 2, C >= 3))),
        ("a <-> b", sympy.Equivalent(A, B)),
        ("if a > 1 then b <= 1 else b >= 2", sympy.ITE(A > 1, B <= 1, B >= 2)),
        ("max(a, b, c) <= 1.5e2", sympy.Max(A, B, C) <= 150),
        ("abs(a - b) <= sqrt(4)", sympy.Abs(A - B) <= 2),
        ("exp(-a) + 0.1 <= pi", sympy.exp(-A) + sympy.Rational(1, 10) <= sympy.pi),
        ("(a <= 1) and (b)", sympy.And(A <= 1, B)),
        ("y_0 or not y_1", sympy.Or(sympy.Symbol("y_0"), sympy.Not(sympy.Symbol("y_1")))),
    ],
)
def test_what_is_written_is_what_is_read(text, statement):
    assert read_statement(text) == statement


def test_decimal_numbers_cancel_as_on_paper():
    assert read_rules(HEAD + "0.1 a + 0.2 a - 0.3 a + b <= 1")["rule_3"].outputs == ("b",)


def test_a_file_with_names_comments_and_all_kinds(tmp_path):
    file = tmp_path / "plant.rules"
    file.write_text(
        "# a plant\r\noutputs: a, b, c\r\ninputs: t\r\n\r\n"
        "shares: a + b + c = 1    # of the feed\r\n0 <= a <= 0.9\r\nhot: if t > 100 then c <= k\r\n",
        encoding="utf-8-sig",
    )
    rules = load_rules(file, parameters={"k": Learnable(initial=0.5, low=0.0, high=1.0)})
    assert list(rules) == ["shares", "rule_6", "hot"]
    assert rules["hot"].learnt["k"].item() == 0.5
    for rule in rules.values():
        rule.bind(["a", "b", "c"])
        rule.bind_inputs(["t"])
    network = join(torch.nn.Linear(1, 3), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)
    y = network(torch.tensor([[200.0], [20.0]]))
    torch.testing.assert_close(y.sum(-1), torch.ones(2))
    assert float(y[0, 2]) <= 0.5 + 1e-6


def test_pishields_linear_requirements_give_the_same_feasible_set():
    text = """ordering y_1 y_0 y_2
-y_0 - y_1 >= -3
y_0 + y_1 >= 3
y_0 - y_1 >= 0
1500y_2 - y_0 > 0
y_1 >= 1
y_0 >= 1.8
"""
    rules = read_rules(text, margin=0.0)
    assert list(rules) == [f"rule_{i}" for i in range(2, 8)]

    def allowed(y):  # their files, read by hand
        return (
            (-y[:, 0] - y[:, 1] >= -3)
            & (y[:, 0] + y[:, 1] >= 3)
            & (y[:, 0] - y[:, 1] >= 0)
            & (1500 * y[:, 2] - y[:, 0] >= 0)
            & (y[:, 1] >= 1)
            & (y[:, 0] >= 1.8)
        )

    grid = torch.stack(torch.meshgrid(*[torch.linspace(-4, 4, 33, dtype=torch.float64)] * 3, indexing="ij"), dim=-1)
    points = torch.cat([grid.reshape(-1, 3), torch.tensor([[2.0, 1.0, 1.0], [1.9, 1.1, 0.1]], dtype=torch.float64)])
    inside = torch.stack([rule.measure(torch.nn.Identity(), points, points) <= 1e-12 for rule in rules.values()])
    assert torch.equal(inside.all(dim=0), allowed(points))
    assert bool(allowed(points).any())
    projected = join(torch.nn.Identity(), {n: Hard(r) for n, r in rules.items()}, outputs=3)(points[::50])
    slack = torch.stack([rule.measure(torch.nn.Identity(), projected, projected) for rule in rules.values()])
    assert float(slack.max()) <= 1e-9


def test_pishields_disjunctions_of_linear_requirements():
    rules = read_rules("ordering y_0 y_1\ny_0 >= 2 or neg y_1 >= 1\ny_0 - 2y_1 >= 0 or y_1 > 3\n", margin=0.0)
    points = torch.cartesian_prod(*[torch.linspace(-4, 4, 33, dtype=torch.float64)] * 2)
    a, b = points.T
    expected = ((a >= 2) | (b <= 1)) & ((a - 2 * b >= 0) | (b >= 3))
    inside = torch.stack([rule.measure(torch.nn.Identity(), points, points) <= 1e-12 for rule in rules.values()])
    assert torch.equal(inside.all(dim=0), expected)


def test_pishields_propositional_requirements():
    rules = read_rules("y_0 or not y_1 or y_2\nnot y_0 or not y_1\ny_1 or y_2\n")
    corners = torch.cartesian_prod(*[torch.tensor([0.1, 0.9], dtype=torch.float64)] * 3)
    a, b, c = (corners > 0.5).T
    expected = (a | ~b | c) & (~a | ~b) & (b | c)
    inside = torch.stack([rule.measure(torch.nn.Identity(), corners, corners) <= 1e-12 for rule in rules.values()])
    assert torch.equal(inside.all(dim=0), expected)
    for rule in rules.values():
        assert rule.explain().embeddings[0] == "Hard"
        held = rule.enforce(corners)
        assert float(rule.measure(torch.nn.Identity(), held, held).max()) <= 1e-12


def test_their_contradictions_are_named_where_they_drop_them():
    rules = read_rules("ordering y_0 y_1 y_2\n-y_0 >= -3\ny_0 >= 3\ny_0 - y_1 >= 0\ny_1 >= 4\n")
    report = RuleSet(dict(rules), outputs=3).check()
    assert report.conflict == ("rule_2", "rule_4", "rule_5")


MALFORMED = [
    "a <", "a + <= 3", "<= 3", "a <= 3)", "((a <= 3)", "a ** ** 2 <= 1", "a <= b <=", "a = = b", "not", "a and", "3",
    "a + b", "a and 3", "(a <= b) + 1 <= 2", "if a then", "if a <= 1", "a -> ", "-> a", "a <- b", "neg neg a +",
    "max(a) <= 1", "max() <= 1", "sin(a, b) <= 1", "atan2(a) <= 1", "foo(a) <= 1", "q <= 1", "0 q <= a", "a <= 1 2",
    "a b <= 3", "a(b) <= 3", "a, b <= 1", "a <= 1,", "[a] <= 1", "a[0] <= 1", "a.b <= 1", "a <= 1.2.3", "a <= .",
    "a <= 1e", "a <= 0x10", "a <= 1_000", "a % 2 <= 1", "a // 2 <= 1", "a @ b", "a & b", "~a", "!a", "a ? b",
    "{a} <= 1", "a := 1", "x: y: a <= 1", "and: a <= 1", "a <= inf", "a <= nan", "a < 1", "a != b", "1 <= 2",
    "a <= a", "t <= 1", "a <= 1 and a >= 2", "a <= 1/0", "a/0 <= 1", "a <= 1/(1 - 1)", "a <= log(0)",
    "a <= sqrt(0 - 1)", "mod(a, 0) <= 1", "a^(1/0) <= 2", "outputs: 1a", "a <= \x00", "a \u200b<= 1", "а <= 1",
    "a <= 1\u2028b",
]  # fmt: skip
HOSTILE = [
    "__import__('os').system('touch pwned')", "a.__class__.__bases__ <= 1", "lambda a: a <= 1", "exec(a) <= 1",
    "eval(a) <= 1", "open(a) <= 1", "`ls` <= a", "$HOME <= a", "a <= 1; import os", "a <= \"3\"", "a <= '3'",
    "%s <= a", "{0.__class__} <= a", "9^9^9^9 <= a", "9**9**9**9 <= a", "a^1000000 <= 1", "a <= 1e999",
    "1e400 a <= 1", "a*1e300*1e300 <= 1", "a*1e-300*1e-300 <= 1", "exp(exp(exp(exp(10)))) <= a", "exp(1000) a <= 1",
    "2^2^2^2^2^2^2 <= a", "tan(pi/2)^60 <= a", "factorial(100000) <= a", "gamma(1000000) >= a",
    "(" * 500 + "a" + ")" * 500 + " <= 1", "-" * 500 + "a <= 1", "not " * 500 + "a", "a^" * 200 + "a <= 1",
    "a <= " + "9" * 500, "x" * 200_000 + " <= 1", "sqrt(" * 80 + "a" + ")" * 80 + " <= 1", "a -> " * 200 + "a",
    "if " * 200 + "a",
]  # fmt: skip
WORDS = (
    "a b c t q 3 2.5 <= >= = < != + - * / ^ ( ) and or not -> if then else max( exp( log( , abs( 1e5 0 xor <-> sin( :"
)


def texts():
    """A thousand lines that say nothing that can be held."""
    rng = random.Random(0)
    found = [*MALFORMED, *HOSTILE]
    while len(found) < 1000:
        base = rng.choice([*MALFORMED[:60], *HOSTILE[:20], "a + 2 b <= 3", "if t > 1 then a <= 2"])
        words = base.split() if rng.random() < 0.5 else rng.choices(WORDS.split(), k=rng.randint(1, 12))
        at = rng.randrange(len(words) + 1)
        words[at:at] = [rng.choice(["§", "\\", "'", "\x07", ";", "@", "..", "?"])]  # never part of a rule
        found.append(" ".join(words))
    return found


def test_a_thousand_malformed_or_hostile_lines_are_a_thousand_clear_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = texts()
    assert len(lines) >= 1000
    for line in lines:
        with pytest.raises(RuleTextError) as caught:
            pytest.fail(f"accepted {line[:80]!r} as {read_rules(HEAD + line)}")
        told = str(caught.value)
        assert told.startswith("line 3: "), (line[:80], told)
        assert len(told) < 2000, (line[:80], told)
    assert list(tmp_path.iterdir()) == []  # nothing was run


def test_lines_of_10_kB_that_would_grow_take_5_seconds_and_300_MB_at_most():
    program = Path(__file__).with_name("hostile_lines.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=120, env=environment, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0, (found[-1:], done.stderr[-1000:])
    assert len(found) > 100
    slow = [line for line in found if float(line[1]) > 5.0 or float(line[2]) > 300.0]
    assert slow == []
    refused = [came for _, _, _, came in found if came.startswith("line 3: ")]
    assert sum(": column " in came for came in refused) > 50  # they show the place
    accepted = [name for name, _, _, came in found if not came.startswith("line 3: ")]
    assert len(accepted) > 40
    assert not any(name.endswith("10 kB") and name not in ("sum, 10 kB", "powers, 10 kB") for name in accepted)


@pytest.mark.parametrize(
    ("line", "place", "told"),
    [
        ("a <= 1 and ((a+b)^64+(b+c)^64)^64 <= 1", 31, "at most 500 terms of degree 64"),
        ("a <= 1" + " or a <= 1" * 200, 1283, "at most 128 relations"),
        (" xor ".join(f"a >= {i}" for i in range(9)), 63, "a statement of at most 128 conditions"),
        ("max(" + "a, " * 70 + "b) <= 1", 1, "at most 64 arguments of `max`"),
        ("a <= " + " + ".join("sin(a)" for _ in range(50)), 366, "at most 40 functions"),
        ("sin(" * 8 + "a" + ")" * 8 + " <= 1", 5, "at most 6 functions and roots inside each other"),
        ("*".join(["a"] * 40) + " <= 1", 64, "at most 32 factors"),
    ],
)
def test_errors_of_size_show_the_place(line, place, told):
    with pytest.raises(RuleTextError, match=f"line 3: column {place}: {told}"):
        read_rules(HEAD + line)


def test_random_words_are_read_or_refused_but_never_crash():
    rng = random.Random(1)
    read = 0
    for _ in range(1500):
        line = " ".join(rng.choices(WORDS.split(), k=rng.randint(1, 12)))
        try:
            read += len(read_rules(HEAD + line))
        except RuleTextError:
            pass
    assert read > 0


def test_errors_show_the_place():
    with pytest.raises(
        RuleTextError, match=r"line 4: column 5: a number, a name or a bracket is needed, got `<=`\n    a \+ <="
    ):
        read_rules(HEAD + "a <= 1\na + <= 3")
    with pytest.raises(RuleTextError, match="line 3: column 7: the name of a column or a parameter is needed, got `q`"):
        read_rules(HEAD + "a + 2 q <= 1")
    with pytest.raises(RuleTextError, match=r"line 3: rule `low`: .*include their boundary"):
        read_rules(HEAD + "low: a < 1")
    with pytest.raises(RuleTextError, match="line 4: a name of its own"):
        read_rules(HEAD + "one: a <= 1\none: b <= 1")
    with pytest.raises(RuleTextError, match="line 4: `inputs:` needs to come before"):
        read_rules("outputs: a\ninputs: t\na <= 1\ninputs: u")
    with pytest.raises(RuleTextError, match="distinct names"):
        read_rules("outputs: a, a\na <= 1")


def test_a_threshold_makes_labels_of_lines_that_imply_one_another():
    """As in `declare`: without it they hold at every threshold."""
    text = "outputs: a, c\nc -> a"
    coherent, rule = (read_rules(text, threshold=threshold)["rule_2"] for threshold in (None, 0.7))
    assert isinstance(coherent, Hierarchy) and not isinstance(rule, Hierarchy)
    rule.bind(["a", "c"])
    y = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, c = (rule.enforce(y, None) >= 0.7).unbind(-1)
    assert bool((a | ~c).all())


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"outputs: a\n\xff\xfe")
    with pytest.raises(RuleTextError, match="UTF-8"):
        load_rules(tmp_path / "binary")
    assert issubclass(RuleTextError, ConstraintError)


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("a + b <= 1", {"threshold": 0.7}, "threshold=0.7, which none has"),
        ("a + b <= 1\nb >= 0", {"margin": 0.1}, "margin=0.1, which none has"),
        ("a -> b", {"margin": 0.1}, "margin=0.1, which none has"),
        ("a + b <= 1", {"fallback": BestEffort()}, "fallback=BestEffort, which none has"),
        ("a < 1\na + b <= 1", {"margin": 0.1, "threshold": 0.3}, "threshold=0.3, which none has"),
    ],
)
def test_arguments_that_no_line_uses_are_refused(text, options, told):
    with pytest.raises(RuleTextError, match=told):
        read_rules(text, outputs=["a", "b"], **options)


def test_arguments_that_one_line_uses_are_taken():
    rules = read_rules("a + b <= 1\na < 1\na -> b", outputs=["a", "b"], margin=0.1)
    assert [rule.explain().kind.split()[0] for rule in rules.values()] == ["half-space", "box", "scores"]
    assert len(read_rules("a + b <= 1\nnot (a and b)", outputs=["a", "b"], threshold=0.7)) == 2
