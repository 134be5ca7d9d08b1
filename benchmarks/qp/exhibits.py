"""Our arms beside the published rows: `python -m benchmarks.qp.exhibits results/qp` prints the table as Markdown."""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, costs_of, mean_and_spread, means_of
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

#: Rows of DC3 (ICLR 2021, tables 1 and 2) and of HardNet (arXiv:2410.10807), by task: name, objective, largest equality
#: and inequality violation where they were at hand, milliseconds.
PUBLISHED = {
    "qp": (
        ("published: OSQP", "-15.05", "0", "0", "-"),
        ("published: DC3", "-13.46", "0", "0", "-"),
        ("published: plain network", "-12.57", ".35", "-", "-"),
    ),
    "qp-nonconvex": (
        ("published: IPOPT", "-11.59", "0", "0", "-"),
        ("published: DC3", "-10.66", "0", "0", "-"),
    ),
    "qp-hardnet": (
        ("published: IPOPT", "-14.28", "0", "0", "1182"),
        ("published: DC3", "-12.57", "-", "-", "9.61"),
        ("published: HardNet", "-14.10", "0", "0", "6.69"),
    ),
}


def beside_published(task: str, optimum: float, cells: Records, costs: Records) -> Exhibit:
    """A row an arm, the mean of our reference optima, then the published rows.

    Args:
        task: name of the task, which chooses the published rows.
        optimum: mean of the reference optima of the instances that were tested.
        cells: the study's cells.
        costs: its costs.
    """
    rows = [
        ["arm", "objective", "largest equality gap", "largest inequality gap", "infeasible", "gap at shadow prices",
         "ms a test pass (published: theirs)", "inference, time ratio", "step, time ratio"]
    ]  # fmt: skip
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            # Items of this phase are instances; the published passes are over 833 of them.
            times = costs_of(costs, arm, "time", "inference_large_batch")
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "objective", 4),
                    mean_and_spread(cells, arm, "equality_max", 2),
                    mean_and_spread(cells, arm, "inequality_max", 2),
                    f"{100 * m['infeasible']:.3g} %",
                    mean_and_spread(cells, arm, "merit"),
                    f"{833e3 * sum(times) / len(times):.3g}" if times else "-",
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    rows.append(["optimum (SLSQP, ours)", f"{optimum:.4g}", "0", "0", "0 %", "0", "-", "-", "-"])
    for name, objective, equality, inequality, ms in PUBLISHED[task]:
        rows.append([name, objective, equality, inequality, "-", "-", ms, "-", "-"])
    return Exhibit(
        "Objective and violation",
        rows,
        "Means over seeds (standard deviation). Gaps are the largest of an instance, averaged over the test instances, "
        "as published; infeasible: instances with a violation above 1e-4. An objective below the optimum is that of "
        "infeasible answers: the gap at shadow prices charges every violation at the largest multiplier of the "
        "reference optima. Published milliseconds are from another machine (a GPU): read the ratios. `quick` and "
        "`standard` train for fewer epochs at a higher learning rate than published: arms without a layer are then far "
        "from converged. `full` has the published settings.",
    )


def main() -> None:
    """Print the table of a results folder."""
    from benchmarks import TASKS
    from dkmodels.study.task import load_task

    store = Store(sys.argv[1])
    manifest = store.manifest()
    task = load_task(TASKS[manifest["task"]], manifest["profile"])
    for exhibit in task.exhibits(store.cells(), store.costs()):
        print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")


if __name__ == "__main__":
    main()
