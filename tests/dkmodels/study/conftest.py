"""Tasks of the tests, loaded as a user's file is."""

from pathlib import Path

import pytest

from dkmodels.study import load_task

TINY = Path(__file__).parent / "tiny.py"


@pytest.fixture
def tiny():
    """Makes a task of tiny.py by class name."""
    return lambda name="Tiny", profile="quick": load_task(f"{TINY}:{name}", profile)
