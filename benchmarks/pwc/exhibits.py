"""Our arms beside the published rows: `python -m benchmarks.pwc.exhibits results/pwc` prints the table as Markdown."""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["beside_published"]

ARMS = {
    "none": "none",
    "soft": "Soft",
    "lagrangian": "AugmentedLagrangian",
    "decode": "Decode (projection at inference only)",
    "soft + decode": "Soft, then Decode",
    "hard": "Hard",
}

#: HardNet, arXiv:2410.10807: MSE, max violation, ms of a test pass, s of training (ratios to none in brackets).
PUBLISHED = (
    ("published: none", "1.85", "3.16", "1.00", "1.00"),
    ("published: soft", "2.36", "3.70", "1.00", "1.72"),
    ("published: DC3", "1.15", "2.31", "40.3", "7.00"),
    ("published: HardNet", ".16", "0", "5.87", "2.51"),
)


def beside_published(cells: Records, costs: Records) -> Exhibit:
    """A row an arm, then the published ones."""
    rows = [["arm", "MSE", "max violation", "MSE where there are samples", "inference, time ratio", "step, time ratio"]]
    for arm, title in ARMS.items():
        if means_of(cells, arm):
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "mse"),
                    mean_and_spread(cells, arm, "max_violation"),
                    mean_and_spread(cells, arm, "mse_inside"),
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    rows += [[name, mse, violation, "-", test, train] for name, mse, violation, test, train in PUBLISHED]
    return Exhibit(
        "Piecewise constraints",
        rows,
        "Means over seeds (standard deviation); the violation is the worst of the 401 test points. Published: 5 seeds, "
        "1000 epochs, float64, times as ratios to its row `none` (.15 ms a test pass, 2.24 s of training, on a GPU). "
        "Settings are the published ones; initial weights are our own draws.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    exhibit = beside_published(results.cells(), results.costs())
    print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
