"""The shipped tasks: what rules are worth, measured. Not part of the wheel."""

TASKS = {"chess": "benchmarks.chess.task:Chess"}
