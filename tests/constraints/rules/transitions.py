"""Small transitions for tests."""

import numpy as np

from constraints import Changes, Transition


class Countdown(Transition[int]):
    """Three cells that show one number, which falls by one or stays."""

    def __init__(self):
        super().__init__(cells=3, classes=4)

    def initial(self, labels):
        return int(labels[0])

    def labels(self, state):
        return np.full(3, state)

    def successors(self, state):
        k = 1 if state else 0
        return Changes(np.tile(np.arange(3), (k, 1)), np.full((k, 3), state - 1))

    def advance(self, state, index):
        return state - 1


class Stays(Transition[int]):
    """One cell that holds a number, which stays."""

    def initial(self, labels):
        return int(labels[0])

    def labels(self, state):
        return np.array([state])

    def successors(self, state):
        return Changes(np.zeros((0, 1), dtype=np.intp), np.zeros((0, 1), dtype=np.intp))

    def advance(self, state, index):
        return state
