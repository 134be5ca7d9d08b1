"""Our arms beside published errors: `python -m benchmarks.burgers.exhibits results/burgers` prints the table."""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["ARMS", "beside_published"]

ARMS = {
    "none": "sensors alone",
    "odd": "sensors, odd by construction",
    "equation": "sensors, equation Soft",
    "soft": "sensors, equation Soft, conditions Soft",
    "hard": "sensors, equation Soft, conditions Hard",
    "hard + odd": "sensors, equation Soft, conditions Hard, odd by construction",
}

#: Relative L2 errors of networks without sensors: method, figure.
PUBLISHED = (
    ("published: PINNacle's best of 10 methods, 5 x 100, 20,000 steps of Adam (arXiv:2306.08827)", "1.45e-2"),
    ("published: SOAP (second hand)", "4.03e-5"),
)


def beside_published(cells: Records, costs: Records) -> Exhibit:
    """A row an arm, then the published ones."""
    rows = [
        ["arm", "relative L2", "largest error", "residual, rms", "conditions, largest violation", "asymmetry",
         "step, time ratio", "inference, time ratio"]
    ]  # fmt: skip
    for arm, title in ARMS.items():
        if means_of(cells, arm):
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "relative_l2"),
                    mean_and_spread(cells, arm, "largest"),
                    mean_and_spread(cells, arm, "residual"),
                    mean_and_spread(cells, arm, "at_conditions"),
                    mean_and_spread(cells, arm, "asymmetry"),
                    cost_ratio(costs, arm, "time", "train_step"),
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                ]
            )
    rows += [[name, error, "-", "-", "-", "-", "-", "-"] for name, error in PUBLISHED]
    return Exhibit(
        "Burgers' equation",
        rows,
        "Means over seeds (standard deviation) on a grid of 201 x 101 points against Cole and Hopf's solution; "
        "networks of 3 x 20, float64, the same number of quasi-Newton steps (self-scaled Broyden) for every arm. The "
        "published networks are larger "
        "and see no sensors; our sensors are noisy, and alone give the first row.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    exhibit = beside_published(results.cells(), results.costs())
    print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
