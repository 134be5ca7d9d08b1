"""`python -m benchmarks run chess --profile quick`."""

import sys

from benchmarks import TASKS
from dkmodels.study.cli import main

if __name__ == "__main__":
    sys.exit(main(TASKS, program="benchmarks"))
