"""`python -m dkmodels run my_task.py:MyTask`."""

import sys

from dkmodels.study.cli import main as run

__all__ = ["main"]


def main() -> int:
    """Run the command line."""
    return run(program="dkmodels")


if __name__ == "__main__":
    sys.exit(main())
