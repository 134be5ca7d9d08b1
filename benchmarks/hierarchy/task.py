"""Functions of genes in a hierarchy, under every embedding of one rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.hierarchy.exhibits import arms_table, level_table
from benchmarks.hierarchy.genes import FEATURES, LEVELS, Genes, generate, levels_of
from benchmarks.hierarchy.module import LabelModule
from benchmarks.hierarchy.scores import area_under_average_precision
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import (
    AugmentedLagrangian,
    Decode,
    Embedding,
    Hard,
    Hierarchy,
    HierarchyMap,
    LowerChildren,
    NearestCoherent,
    Soft,
)
from dkmodels import KnowledgeModule
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["GenesProfile", "HierarchyTask"]

DATA_SEED = 20201010  # the set is one; seeds split it
HIDDEN, DROPOUT, RATE = 128, 0.5, 2e-3
SOFT_WEIGHT = 1e-3
EDGE_TOLERANCE = 1e-5  # logits


@final
@dataclass(frozen=True, kw_only=True)
class GenesProfile(Profile):
    """Sizes of the benchmark.

    Attributes:
        train: genes to train on.
        test: genes to test on.
    """

    train: int = 1200
    test: int = 1200


@lru_cache(maxsize=2)
def _genes(count: int) -> Genes:
    return generate(count, DATA_SEED)


@final
class HierarchyTask(Task):
    """A hundred labels of generated genes; a child implies its parents."""

    name = "hierarchy"
    description = (
        "A hundred functions of generated genes in a hierarchy of four levels: a gene that has one has all above it. "
        "By a loss, at inference by three maps, and by C-HMCNN's layer with and without the loss that goes with it."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": GenesProfile(seeds=3, epochs=15, rounds=3, cost_seeds=1, train=800, test=800),
        "standard": GenesProfile(seeds=10, epochs=25, rounds=5, cost_seeds=3),
        "full": GenesProfile(seeds=20, epochs=40, rounds=10, cost_seeds=5, train=4000, test=4000),
    }

    @property
    def sizes(self) -> GenesProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, GenesProfile)
        return self.profile

    # --- data and network --------------------------------------------------------------------------------------

    def data(self, seed: int) -> Data:
        """One set of genes, split anew for each seed; features are standardised by the training genes'."""
        sizes = self.sizes
        genes = _genes(sizes.train + sizes.test)
        order = np.random.default_rng(seed_streams(seed)["split"]).permutation(len(genes.features))
        x, labels = (torch.from_numpy(part[order]).float() for part in (genes.features, genes.labels))
        x = (x - x[: sizes.train].mean(dim=0)) / x[: sizes.train].std(dim=0)
        train, test = slice(None, sizes.train), slice(sizes.train, None)
        return Data(
            train=TensorDataset(x[train], labels[train]), test=TensorDataset(x[test], labels[test]), batch_size=32
        )

    def network(self, seed: int) -> nn.Module:
        """Two hidden layers with dropout."""
        return nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, sum(LEVELS)),
        )

    # --- rules -------------------------------------------------------------------------------------------------

    def hierarchy(self, form: HierarchyMap | None = None) -> Hierarchy:
        """A function implies those above it."""
        edges = _genes(self.sizes.train + self.sizes.test).edges
        return Hierarchy(edges, form=form, name="hierarchy", unit="logit", source="arXiv:2010.10151")

    def rules(self) -> Mapping[str, Embedding]:
        """The hierarchy in every embedding; by three maps at inference, by the greatest below as a layer."""
        return {
            "soft": Soft(self.hierarchy(), weight=SOFT_WEIGHT),
            "lagrangian": AugmentedLagrangian(self.hierarchy(), rho=SOFT_WEIGHT, growth=1.3, largest=1.0),
            "decode": Decode(self.hierarchy()),
            "decode_lower": Decode(self.hierarchy(LowerChildren())),
            "decode_nearest": Decode(self.hierarchy(NearestCoherent())),
            "hard": Hard(self.hierarchy()),
            "mcloss": Hard(self.hierarchy()),
        }

    def arms(self) -> list[Arm]:
        """Each alone, and the loss with the map after it."""
        return strength_arms(self.rules(), [("soft", "decode")])

    def contrasts(self) -> list[Contrast]:
        """Each against none; the layer against the map at inference, the loss, both, and itself with its own loss."""
        others = ("decode", "soft", "soft + decode")
        against = {"hard": others, "mcloss": ("hard", "decode", "soft + decode")}
        return strength_contrasts("hierarchy", self.arms(), self.rules(), against)

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> LabelModule:
        """Cross entropy, or the max constraint loss, and Adam."""
        return LabelModule(network, rules, knows_map="mcloss" in rules, learning_rate=RATE)

    # --- measuring ---------------------------------------------------------------------------------------------

    def metrics(self) -> Sequence[Metric]:
        """Area under the average precision-recall curve, as C-HMCNN reports it, and what breaks the hierarchy."""
        levels = [Metric(name=f"au_prc_level_{k + 1}", direction="max", gain=0.01) for k in range(len(LEVELS))]
        return [
            Metric(name="au_prc", direction="max", gain=0.005, primary=True),
            Metric(name="incoherent", direction="min", gain=0.01, primary=True, rate=True),
            Metric(name="incoherent_labels", direction="min", gain=0.01, rate=True),
            Metric(name="incoherent_edges", direction="min", gain=0.001),
            Metric(name="violation_max", direction="min", unit="logit", gain=0.1),
            *levels,
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Scores and violations, computed apart from the rule's own code.

        Incoherent genes have some child's score above its parent's; those incoherent in labels also at the threshold
        of one half, where a reader would see it.
        """
        assert isinstance(data.test, TensorDataset)
        x, target = data.test.tensors
        scores = answers(module, x)
        children, parents = torch.tensor(_genes(self.sizes.train + self.sizes.test).edges).unbind(dim=1)
        excess = (scores[:, children] - scores[:, parents]).clamp(min=0.0)
        beyond = excess > EDGE_TOLERANCE
        seen = (scores[:, children] > 0.0) & (scores[:, parents] <= 0.0) & beyond
        found: dict[str, float | tuple[int, int]] = {
            "au_prc": area_under_average_precision(scores, target),
            "incoherent": (int(beyond.any(dim=1).sum()), len(x)),
            "incoherent_labels": (int(seen.any(dim=1).sum()), len(x)),
            "incoherent_edges": float(beyond.double().mean()),
            "violation_max": float(excess.max()),
        }
        level = torch.from_numpy(levels_of())
        for k in range(len(LEVELS)):
            found[f"au_prc_level_{k + 1}"] = _at_level(scores, target, level == k)
        return found

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The arms, and their scores by level."""
        return [arms_table(cells, costs), level_table(cells)]


def _at_level(scores: Tensor, target: Tensor, chosen: Tensor) -> float:
    return area_under_average_precision(scores[:, chosen], target[:, chosen])
