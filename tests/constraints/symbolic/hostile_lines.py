"""Lines of up to 10 kB that grow when they are multiplied out, taken apart or solved; each is read, or refused, soon.

Run as a program it reads every line, and prints its name, its seconds of processor time, the MB more than before the
first line, and what came of it.
"""

import resource
import time

LENGTH = 10_000
HEAD = "outputs: a, b, c, d, e\ninputs: t\n"


def longest(word, between, before="", after=""):
    """As many words as fit into a line: `{i}` is their number, `{y}` one of the outputs."""
    parts, size = [], len(before) + len(after)
    while size < LENGTH:
        parts.append(word.format(i=len(parts), y="abcde"[len(parts) % 5]))
        size += len(parts[-1]) + len(between)
    return before + between.join(parts[:-1]) + after


def nest(before, inner, after, times, end):
    return before * times + inner + after * times + end


REPEATED = {  # word, what is between, before, after; and how many are just accepted
    "or": ("a >= {i}", " or ", "", "", 128),
    "or of sums": ("a+{i} b >= {i}", " or ", "", "", 128),
    "and": ("a+{i} b >= -{i}", " and ", "", "", 128),
    "xor": ("a + b >= {i}", " xor ", "", "", 6),
    "xor of labels": ("{y}", " xor ", "", "", 6),
    "labels": ("{y}", " or ", "", "", 128),
    "alternatives": ("(a >= {i} or b >= {i})", " and ", "", "", 64),
    "max": ("a+{i} b", ", ", "max(", ") <= 1", 42),
    "max of squares": ("a^2+{i} b", ", ", "max(", ") <= 1", 15),
    "max of min": ("min(a, {i} b, c)", ", ", "max(", ") <= 1", 8),
    "sum of max": ("max(a, {i} b)", " + ", "", " <= 1", 40),
    "abs": ("abs(a - {i})", " + ", "", " <= 1", 40),
    "abs of sums": ("abs(a - {i} b)", " + ", "", " <= 1", 40),
    "abs against abs": ("abs(a - {i}) >= abs(b - {i})", " or ", "", "", 16),
    "sum": ("{i} {y}", " + ", "", " <= 1", 1000),
    "powers": ("a*b^2*c^3*{y}*{i}", " + ", "", " <= 1", 400),
    "product": ("(a+{i}*b+c)", "*", "", " <= 1", 12),
    "product of kinks": ("max(a, {i} b)", "*", "", " <= 1", 12),
    "squares of sums": ("(a+{i}*b)^2", " + ", "", " <= 1", 150),
    "square of a sum": ("sin({i} a)", " + ", "(", ")^6 <= 1", 5),
    "factors of the input": ("(t+{i}+sin(t))", "*", "a <= ", "", 12),
    "coefficients of the input": ("(t+{i})*{y}", " + ", "", " = 1", 200),
    "chain": ("{y}+{i}", " <= ", "", "", 128),
    "sines": ("sin({i} a)", " + ", "", " <= 1", 40),
    "floors": ("floor(a + {i}.5)", " + ", "", " <= 1", 40),
    "remainders": ("mod(a, {i}.5)", " + ", "", " <= 1", 40),
    "quotients": ("a/(b+{i})", " + ", "", " <= 1", 40),
    "roots": ("sqrt(a^2 + 2{i})", " + ", "", " <= 100", 40),
    "exponentials": ("exp({i} a - b)", " + ", "", " <= 100", 40),
    "powers of outputs": ("a^(b*{i})", " + ", "", " <= 1", 40),
    "convex": ("exp({i} a) + b^2 <= 100", " and ", "", "", 16),
    "discs": ("(a-{i})^2 + b^2 <= 9000", " and ", "", "", 8),
    "curves": ("a^2 + {i}*b^2 = 9000", " and ", "", "", 8),
    "polynomials": ("a^4 - {i} a^2 + a*{i} <= {i}", " or ", "", "", 8),
    "sixth powers": ("(a+b+c+{i}*d+e)^6 + a <= 1", " and ", "", "", 2),
    "guards": ("(if t > {i} then a <= {i})", " and ", "", "", 64),
    "guards of alternatives": ("(t > {i} and a <= {i})", " or ", "", "", 64),
    "biconditionals": ("{y}", " <-> ", "", "", 6),
}
LINES = {
    "issue": "((a+b)^64+(b+c)^64)^64 <= 1",
    "power": "(a+b+c+d+e)^64 <= 1",
    "power of the input": "a*((t+1)^64 + t)^64 <= 1",
    "polynomial": "(a-1)*(a-2)*(a-3)*(a-4)*(a-5)*(a-6)*(a-7)*(a-8)*(a-9)*(a-10)*(a-11)*(a-12) <= 0",
    "powers of sums": "(a+b)^64 + (b+c)^64 + (c+d)^64 + a*b <= 1",
    "huge": "a <= 10^10^10",
    "tower of numbers": "9^9^9^9 <= a",
    "digits": "a <= " + "9" * 9000,
    "nines": "a <= " + " + ".join(["9" * 300] * 30),
    "conditions": "if a >= 1 then " * 50 + "b <= 1",
    "cases": "".join(f"if a >= {i} then b <= {i} else " for i in range(40)) + "c <= 1",
    "brackets": nest("(", "a", ")", 55, " <= 1"),
    **{
        f"{name} in itself {times} times": nest(before, "a", after, times, end)
        for times in (2, 6, 20)
        for name, (before, after, end) in {
            "abs": ("abs(", " - 1)", " <= 1"),
            "abs of a difference": ("abs(b - ", ")", " = 1"),
            "max": ("max(a, c + ", ")", " <= 1"),
            "sin": ("sin(", ")", " <= 1"),
            "exp": ("exp(", "+a)", " <= b"),
            "log": ("log(", ")", " <= 1"),
            "sqrt": ("sqrt(", ")", " <= 1.7"),
            "tanh": ("tanh(", ")", " <= 0.01"),
            "sinh": ("sinh(", ")", " <= 5"),
            "asinh": ("asinh(", ")", " <= 5"),
            "root": ("(", "^1.37)", " <= 1.3"),
            "square": ("(", "^2 + 1)", " = 1"),
            "cube": ("(", "^3 + b)", " <= 1"),
            "power": ("a^(", ")", " <= 1"),
            "quotient": ("1/(a + ", ")", " <= 1"),
            "remainder": ("mod(", ", 3)", " <= 1"),
            "atan2": ("atan2(", ", b)", " <= 1"),
            "not": ("not (", " xor b >= 2)", ""),
        }.items()
    },
}


def hostile_lines():
    """Lines by name: each kind as long as it may be, and as long as it is still accepted."""
    yield from LINES.items()
    for name, (word, between, before, after, count) in REPEATED.items():
        yield f"{name}, 10 kB", longest(word, between, before, after)
        words = [word.format(i=i, y="abcde"[i % 5]) for i in range(count)]
        yield f"{name}, {count}", before + between.join(words) + after


def main():
    from constraints import RuleTextError, read_rules

    read_rules(HEAD + "a + b <= 1\na^2 <= b\nsin(a) + b <= 1")
    start = peak()
    for name, line in hostile_lines():
        began = time.process_time()
        try:
            (rule,) = read_rules(HEAD + line).values()
            came = rule.explain().kind
        except RuleTextError as error:
            came = str(error)[:120].splitlines()[0]
        print(f"{name}\t{time.process_time() - began:.2f}\t{peak() - start:.0f}\t{came}", flush=True)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
