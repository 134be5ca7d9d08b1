"""Arms: names in any alphabet, slugs that stay apart, and a question for each arm that is trained."""

import re
from functools import partial

import pytest

from constraints import Bounds, Decode, FixedSum, Hard, Soft
from dkmodels.study import Arm, UsageError, standard_arms, standard_contrasts
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT

RULES = {"a": Hard(Bounds(low=0.0)), "b": Soft(FixedSum()), "c": Decode(FixedSum())}


def slowly(module, learning_rate):
    module.learning_rate = learning_rate


@pytest.mark.parametrize(
    "names",
    [
        ("α 1", "β 1"),
        ("α", "β"),
        ("без правил", "с правилами"),
        ("无", "有"),
        ("محايد", "قوي"),
        ("é", "e"),
        ("x" * 300, "x" * 299 + "y"),
        ("x" * 300, "x" * 301),
        ("a²", "a2"),
        ("ａ", "a"),
    ],
)
def test_names_stay_apart_in_any_alphabet(names):
    slugs = [Arm(name).slug for name in names]
    assert slugs[0] != slugs[1]
    assert all(re.fullmatch(r"[a-z0-9-]+", slug) and len(slug) < 100 for slug in slugs)
    assert all(not slug.startswith("-") and not slug.endswith("-") for slug in slugs)


def test_plain_names_keep_their_files():
    """As the published studies have them."""
    names = {"none": "none", "all but census": "all-but-census", "soft + decode": "soft-and-decode",
             "ReLoBRaLo": "relobralo", "hard + odd, fresh": "hard-and-odd-fresh", "x" * 80: "x" * 80}  # fmt: skip
    assert {name: Arm(name).slug for name in names} == names
    assert Arm("x" * 81).slug.startswith("x" * 80 + "-"), "a longer one has a digest"


def test_one_name_in_two_forms_of_unicode_is_one():
    assert Arm("\u00e9").slug == Arm("e\u0301").slug


@pytest.mark.parametrize("name", ["", " ", "---", "a\nb", "a\x00", "\ud800a", "☃"])
def test_names_that_cannot_be_shown_are_refused(name):
    with pytest.raises(UsageError, match="printable name with a letter or a digit"):
        Arm(name)


def test_a_setup_needs_a_name_of_its_own():
    for setup in (lambda module: None, partial(lambda module, of: None, of=(1, 2))):
        with pytest.raises(UsageError, match="needs a setup that has a name of its own"):
            Arm("x", setup=setup)
    Arm("x", setup=partial(slowly, learning_rate="<(1)"))


def test_rules_are_distinct():
    with pytest.raises(UsageError, match=r"distinct rules, got \('a', 'a'\) for 'x'"):
        Arm("x", ("a", "a"))


def test_a_setup_is_told_with_its_arguments():
    assert Arm("x").setting == ""
    assert Arm("x", setup=slowly).setting.endswith(".slowly")
    assert Arm("x", setup=partial(slowly, 3, learning_rate=0.5)).setting.endswith(".slowly(3, learning_rate=0.5)")


@pytest.mark.parametrize(
    ("rules", "factorial", "names"),
    [
        ("", True, ["none"]),
        ("a", True, ["none", "a"]),
        ("ab", True, ["none", "a", "b", "all"]),
        ("abcd", True, ["none", "a", "b", "c", "d", "a + b", "a + c", "a + d", "b + c", "b + d", "c + d",
                        "all but d", "all but c", "all but b", "all but a", "all"]),
        ("abcd", False, ["none", "a", "b", "c", "d", "all but d", "all but c", "all but b", "all but a", "all"]),
        ("abcde", True, ["none", *"abcde", *(f"all but {r}" for r in "edcba"), "all"]),
    ],
)  # fmt: skip
def test_standard_arms(rules, factorial, names):
    arms = standard_arms(list(rules), factorial=factorial)
    assert [arm.name for arm in arms] == names
    assert len({arm.rules for arm in arms}) == len(arms)


def test_standard_arms_are_factorial_by_default():
    assert standard_arms(list("abcd")) == standard_arms(list("abcd"), factorial=True)


def questions(arms, rules=RULES):
    return [(c.family, c.rule, c.embedding, c.arm, c.baseline) for c in standard_contrasts(arms, rules)]


def test_standard_questions():
    assert questions(standard_arms(["a", "b"])) == [
        (ADD_ONE_IN, "a", "Hard", "a", "none"),
        (ADD_ONE_IN, "b", "Soft", "b", "none"),
        (LEAVE_ONE_OUT, "a", "Hard", "all", "b"),
        (LEAVE_ONE_OUT, "b", "Soft", "all", "a"),
        (ALL, "a + b", "Hard+Soft", "all", "none"),
    ]


def test_every_single_rule_arm_has_a_question():
    """Six embeddings of one rule, and no arm with several."""
    rules = {f"w{i}": Soft(Bounds(low=0.0), weight=float(i)) for i in range(1, 7)}
    arms = [Arm("none"), *(Arm(name, (name,)) for name in rules)]
    assert questions(arms, rules) == [(ADD_ONE_IN, name, "Soft", name, "none") for name in rules]


def test_every_setup_of_one_rule_has_a_question_and_a_name():
    arms = [Arm("none"), *(Arm(f"rate {r}", ("b",), partial(slowly, learning_rate=r)) for r in (1, 2, 3, 4, 5, 6))]
    assert questions(arms) == [(ADD_ONE_IN, "b", f"Soft: rate {r}", f"rate {r}", "none") for r in (1, 2, 3, 4, 5, 6)]


def test_an_arm_is_held_against_one_of_its_setup():
    slow = partial(slowly, learning_rate=1)
    arms = [Arm("none"), Arm("slow none", (), slow), Arm("b", ("b",)), Arm("slow b", ("b",), slow)]
    assert [(arm, baseline) for *_, arm, baseline in questions(arms)] == [("b", "none"), ("slow b", "slow none")]
    other = [Arm("slow none", (), slow), Arm("b", ("b",))]
    assert questions(other) == [], "of another setup alone, nothing is like it"


def test_of_two_arms_alike_the_first_is_the_baseline():
    assert questions([Arm("first"), Arm("second"), Arm("b", ("b",))]) == [(ADD_ONE_IN, "b", "Soft", "b", "first")]


def test_every_arm_that_none_exceeds_is_asked_about():
    arms = [Arm("none"), Arm("a", ("a",)), Arm("ab", ("a", "b")), Arm("ac", ("a", "c"))]
    asked = questions(arms)
    assert (LEAVE_ONE_OUT, "b", "Soft", "ab", "a") in asked and (LEAVE_ONE_OUT, "c", "Decode", "ac", "a") in asked
    assert {(arm, baseline) for family, *_, arm, baseline in asked if family == ALL} == {("ab", "none"), ("ac", "none")}
    assert len(set(asked)) == len(asked)


def test_no_baseline_no_question():
    assert questions([Arm("a", ("a",)), Arm("b", ("b",))]) == []
