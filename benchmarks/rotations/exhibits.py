"""Every way to be invariant beside the others: `python -m benchmarks.rotations.exhibits results/rotations`."""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["ARMS", "arms_table"]

ARMS = {
    "none": "no rule",
    "augmentation": "turned training images",
    "soft": "Soft",
    "augmentation + soft": "turned training images, Soft",
    "average": "Hard: mean over 4 turns",
    "canonical": "Hard: lexicographic pose",
    "canonical_moment": "Hard: pose with most ink below",
    "average_flips": "Hard: mean over 4 turns and flips",
}


def arms_table(cells: Records, costs: Records, confused: tuple[int, int]) -> Exhibit:
    """A row an arm."""
    a, b = confused
    rows = [
        ["arm", "accuracy, upright, %", "accuracy, all turns, %", f"{a} and {b}, %", "answer changes over turns",
         "largest change, logits", "inference, time ratio", "step, time ratio"]
    ]  # fmt: skip
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "accuracy", scale=100),
                    mean_and_spread(cells, arm, "accuracy_turned", scale=100),
                    mean_and_spread(cells, arm, "accuracy_confused", scale=100),
                    f"{100 * m['changed']:.3g} %",
                    f"{m['violation_max']:.2g}",
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    where = "upright" if confused == (6, 9) else "over all turns"
    return Exhibit(
        "Digits and turns",
        rows,
        f"Means over seeds (standard deviation). Training images are upright but where an arm turns them; all arms "
        f"train for the same epochs. {a} and {b}: "
        f"accuracy on these two digits alone, {where}. The answer changes: share of test images whose class is not the "
        f"same at all four turns. Largest change: of a logit, over all test images and turns.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    pair = (6, 9) if results.manifest()["task"] == "rotations-69" else (2, 5)
    exhibit = arms_table(results.cells(), results.costs(), pair)
    print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
