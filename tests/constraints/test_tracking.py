"""Following a sequence through legal transitions: what is asked, and how a lost decoder finds back."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from constraints import (
    AskAll,
    AskChanged,
    AskShortlist,
    Changes,
    Decode,
    EagerScores,
    FixedSum,
    LazyScores,
    Recovery,
    SpecificationError,
    Transition,
    UnsupportedError,
    follow,
)

CELLS = 16


class Walk(Transition[int]):
    """One walker on a ring of cells moves one or two cells on; the others are empty."""

    def __init__(self):
        super().__init__(cells=CELLS, classes=2)

    def initial(self, labels):
        return int(np.argmax(labels))

    def labels(self, state):
        return (np.arange(CELLS) == state).astype(int)

    def successors(self, state):
        goals = [(state + step) % CELLS for step in (1, 2)]
        return Changes(np.array([[state, goal, -1] for goal in goals]), np.array([[0, 1, 0]] * 2))

    def advance(self, state, index):
        return (state + index + 1) % CELLS


def shown(position, *, wrong=(), sure=0.95):
    """Log-probabilities that show the walker at a position, with some cells misread."""
    truth = np.arange(CELLS) == position
    truth[list(wrong)] ^= True
    p = np.where(truth, sure, 1 - sure)
    return np.log(np.stack([1 - p, p], axis=1))


def run(policy, frames, changes=None):
    rule, track, read, asked = Walk(), None, [], []
    for index, frame in enumerate(frames):
        change = None if changes is None else changes[index]
        scores = LazyScores(lambda cells, frame=frame: torch.from_numpy(frame[cells]), cells=CELLS, change=change)
        labels, track = follow(rule, scores, track, policy=policy)
        read.append(int(np.argmax(labels)))
        asked.append(scores.asked)
    return read, asked, track


def moved(path):
    """What cells changed between frames."""
    found = [np.zeros(CELLS)]
    for before, after in pairwise(path):
        change = np.full(CELLS, 1.0)
        if before != after:
            change[[before, after]] = 20.0
        found.append(change)
    return found


PATH = [0, 0, 1, 3, 3, 4, 5, 5, 7, 9, 9, 10]
POLICIES = [AskAll(), AskChanged(), AskShortlist(k=2)]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_follows_what_is_shown(policy):
    read, asked, _ = run(policy, [shown(p) for p in PATH], moved(PATH))
    assert read == PATH
    assert asked[0] == CELLS
    if isinstance(policy, AskAll):
        assert set(asked) == {CELLS}
    else:
        assert np.mean(asked[1:]) < CELLS / 2


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_one_misread_cell_does_not_derail(policy):
    frames = [shown(p, wrong=[(p + 8) % CELLS]) if i == 4 else shown(p) for i, p in enumerate(PATH)]
    assert run(policy, frames, moved(PATH))[0] == PATH


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_finds_back_after_a_jump_that_no_rule_allows(policy):
    path = [0, 1, 2, *([11] * 40)]
    read, _, track = run(policy, [shown(p) for p in path], moved(path))
    assert read[:3] == path[:3]
    assert read[-1] == 11
    assert 1 <= track.repairs <= 2
    found = read.index(11) - 3
    assert found <= (4 if isinstance(policy, AskAll) else 20)


def test_a_doubtful_cell_makes_it_read_everything_once():
    """A lazy decoder whose audit finds a contradiction asks for all cells, and not at every frame."""
    path = [0] * 3 + [11] * 30
    _, asked, _ = run(AskChanged(audit=2), [shown(p) for p in path])
    assert CELLS in asked[3:]
    assert sum(a == CELLS for a in asked[3:]) <= 4


def test_state_is_explicit():
    rule = Walk()
    _, track = follow(rule, EagerScores(torch.from_numpy(shown(3))), None, policy=AskAll())
    one, _ = follow(rule, EagerScores(torch.from_numpy(shown(4))), track, policy=AskAll())
    two, _ = follow(rule, EagerScores(torch.from_numpy(shown(5))), track, policy=AskAll())
    assert (int(one.argmax()), int(two.argmax())) == (4, 5)


def test_every_cell_is_computed_once():
    calls = []
    scores = LazyScores(lambda cells: calls.append(list(cells)) or torch.zeros(len(cells), 2), cells=8)
    scores.at([3, 5])
    scores.at([5, 3, 7])
    assert calls == [[3, 5], [7]]
    assert list(scores.known()) == [3, 5, 7]


def test_refuses_what_makes_no_sense():
    with pytest.raises(SpecificationError, match="`Recovery` needs"):
        Recovery(clip=0.1)
    with pytest.raises(SpecificationError, match="with `change`, got None"):
        run(AskShortlist(), [shown(0), shown(0)])
    with pytest.raises(UnsupportedError, match="no state"):
        Decode(FixedSum(), policy=AskAll())
    with pytest.raises(UnsupportedError, match="not a Transition"):
        Decode(FixedSum()).follow(EagerScores(torch.zeros(2, 2)), None)

    class Nowhere(Walk):
        def __init__(self):
            Transition.__init__(self, cells=0, classes=2)

    with pytest.raises(SpecificationError, match="cells >= 1"):
        Nowhere()
