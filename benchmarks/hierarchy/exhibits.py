"""Every embedding beside the others: `python -m benchmarks.hierarchy.exhibits results/hierarchy` prints Markdown."""

from __future__ import annotations

import sys

from benchmarks.hierarchy.genes import LEVELS
from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["arms_table", "level_table"]

ARMS = {
    "none": "no rule",
    "soft": "Soft",
    "lagrangian": "AugmentedLagrangian",
    "decode": "Decode: parents raised",
    "decode_lower": "Decode: children lowered",
    "decode_nearest": "Decode: nearest scores",
    "soft + decode": "Soft, then Decode: parents raised",
    "hard": "Hard: parents raised, plain loss",
    "mcloss": "Hard: parents raised, max constraint loss (C-HMCNN)",
}


def arms_table(cells: Records, costs: Records) -> Exhibit:
    """A row an arm."""
    rows = [
        ["arm", "AU(PRC)", "genes with a child above its parent", "seen in labels", "edges violated",
         "worst, logits", "inference, time ratio", "step, time ratio"]
    ]  # fmt: skip
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "au_prc"),
                    f"{100 * m['incoherent']:.3g} %",
                    f"{100 * m['incoherent_labels']:.3g} %",
                    f"{100 * m['incoherent_edges']:.2g} %",
                    f"{m['violation_max']:.2g}",
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    return Exhibit(
        "Labels in a hierarchy",
        rows,
        "Means over seeds (standard deviation). AU(PRC): area under the average precision-recall curve of all labels "
        "pooled, more is better. A gene counts as incoherent where any child scores above its parent by more than 1e-5 "
        "logits, and seen in labels where that shows at the threshold of one half.",
    )


def level_table(cells: Records) -> Exhibit:
    """A row an arm, a column a level."""
    rows = [["arm", *(f"level {k + 1} ({count} labels)" for k, count in enumerate(LEVELS))]]
    for arm, title in ARMS.items():
        if means_of(cells, arm):
            rows.append([title, *(mean_and_spread(cells, arm, f"au_prc_level_{k + 1}") for k in range(len(LEVELS)))])
    return Exhibit("AU(PRC) by level", rows, "Of the labels of one level alone, from the general to the special.")


if __name__ == "__main__":
    results = Store(sys.argv[1])
    for exhibit in (arms_table(results.cells(), results.costs()), level_table(results.cells())):
        print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
