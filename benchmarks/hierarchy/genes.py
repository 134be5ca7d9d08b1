"""Generated genes: measured features, and functions in a hierarchy, few of them known of each gene.

Made like the sets of functional genomics (FunCat, GO) on which hierarchical classifiers are compared: a directed
acyclic graph of labels, some tens of noisy features, a few positive labels a gene and many rare ones, and annotations
that stop half way down because nobody has looked closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "Genes", "generate", "levels_of"]

Numbers = NDArray[np.float64]

#: Labels a level, from the top.
LEVELS = (8, 20, 36, 36)
FEATURES = 64
#: Chances: of a second parent, of a second and a third function of a gene, of stopping one level higher.
SECOND_PARENT, MORE, STOPS = 0.2, (0.5, 0.2), 0.3
#: How much of its parent's direction a label has, and the noise of a feature beside directions of length 1.
INHERITED, NOISE = 0.75, 1.0


@final
@dataclass(frozen=True, slots=True)
class Genes:
    """A generated set.

    Attributes:
        features: `(genes, 64)`.
        labels: 0 or 1, `(genes, labels)`; a label that holds makes all above it hold.
        edges: (child, parent) columns.
    """

    features: Numbers
    labels: Numbers
    edges: tuple[tuple[int, int], ...]


def generate(count: int, seed: int) -> Genes:
    """A set of genes; the same for the same seed.

    Args:
        count: how many genes.
        seed: of everything: the graph, the directions of labels, the genes.

    Example:
        >>> genes = generate(500, seed=0)
        >>> genes.features.shape, genes.labels.shape
        ((500, 64), (500, 100))
        >>> all((genes.labels[:, child] <= genes.labels[:, parent]).all() for child, parent in genes.edges)
        True
    """
    rng = np.random.default_rng(seed)
    edges = _graph(rng)
    size = sum(LEVELS)
    above = np.eye(size)
    for child in range(size):  # parents have smaller columns
        for parent in (p for c, p in edges if c == child):
            above[child] = np.maximum(above[child], above[parent])
    directions = _directions(rng, edges)
    # Ranks by popularity, so that a few labels are common and most are rare.
    popular = 1.0 / (1.0 + rng.permutation(size)) ** 0.7
    popular[: LEVELS[0]] *= 0.2  # few genes are known by a top label only
    popular /= popular.sum()
    labels, latent = np.zeros((count, size)), np.zeros((count, FEATURES))
    parents: dict[int, list[int]] = {child: [p for c, p in edges if c == child] for child in range(size)}
    for gene in range(count):
        functions = 1 + sum(rng.random() < chance for chance in MORE)
        for label in rng.choice(size, size=functions, replace=False, p=popular):
            latent[gene] += directions[label]
            known = int(rng.choice(parents[label])) if parents[label] and rng.random() < STOPS else int(label)
            labels[gene] = np.maximum(labels[gene], above[known])
    mixing = rng.normal(size=(FEATURES, FEATURES)) / np.sqrt(FEATURES)
    features = np.tanh(4.0 * latent @ mixing) + NOISE * rng.normal(size=(count, FEATURES))
    return Genes(features, labels, edges)


def levels_of() -> NDArray[np.int64]:
    """The level of each label, 0 at the top, `(labels,)`.

    Example:
        >>> levels_of()[[0, 8, 28, 64]].tolist()
        [0, 1, 2, 3]
    """
    return np.repeat(np.arange(len(LEVELS)), LEVELS)


def _graph(rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """A parent on the level above for each label, and for some another one on any level above."""
    starts = np.cumsum([0, *LEVELS])
    edges = []
    for level in range(1, len(LEVELS)):
        for child in range(starts[level], starts[level + 1]):
            first = int(rng.integers(starts[level - 1], starts[level]))
            edges.append((child, first))
            if rng.random() < SECOND_PARENT:
                second = int(rng.integers(0, starts[level]))
                edges += [(child, second)] if second != first else []
    return tuple(edges)


def _directions(rng: np.random.Generator, edges: tuple[tuple[int, int], ...]) -> Numbers:
    """A direction of length 1 a label, near those of its parents."""
    directions = rng.normal(size=(sum(LEVELS), FEATURES))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for child in range(LEVELS[0], len(directions)):
        inherited = np.mean([directions[p] for c, p in edges if c == child], axis=0)
        own = directions[child]
        mixed = INHERITED * inherited / np.linalg.norm(inherited) + np.sqrt(1 - INHERITED**2) * own
        directions[child] = mixed / np.linalg.norm(mixed)
    return directions
