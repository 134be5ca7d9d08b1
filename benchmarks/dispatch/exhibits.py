"""What each rule is worth: `python -m benchmarks.dispatch.exhibits results/dispatch` prints the tables as Markdown."""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["arms_table", "worth"]

RULES = {"balance": "balance", "line_limits": "line limits", "generator_limits": "generator limits"}
ARMS = {
    "none": "no rule",
    "balance": "Hard: balance",
    "line_limits": "Hard: line limits",
    "generator_limits": "Hard: generator limits",
    "all but balance": "Hard: all but balance",
    "all but line_limits": "Hard: all but line limits",
    "all but generator_limits": "Hard: all but generator limits",
    "all": "Hard: all three",
    "soft": "Soft: all three",
    "lagrangian": "AugmentedLagrangian: all three",
    "decode": "Decode: all three at inference",
    "soft + decode": "Soft, then Decode",
}


def arms_table(cells: Records, costs: Records) -> Exhibit:
    """A row an arm."""
    rows = [
        ["arm", "regret, $/h", "not operable", "RMSE, MW", "imbalance, MW", "overload, MW", "beyond generators, MW",
         "stuck generators", "inference, time ratio", "step, time ratio"]
    ]  # fmt: skip
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "regret"),
                    f"{100 * m['inoperable']:.3g} %",
                    mean_and_spread(cells, arm, "rmse"),
                    f"{m['imbalance']:.2g}",
                    f"{m['overload']:.2g}",
                    f"{m['beyond']:.2g}",
                    f"{m['stuck']:.2g}",
                    cost_ratio(costs, arm, "time", "inference_large_batch"),
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    return Exhibit(
        "Dispatch of the IEEE 14-bus network",
        rows,
        "Means over seeds (standard deviation). Regret: cost above the cheapest operable dispatch, every MW of "
        "imbalance, overload or generation beyond a limit charged at 500 $/h. Not operable: anything violated by more "
        "than 0.1 MW. Imbalance, overload (of all lines together) and generation beyond limits are means over samples. "
        "Stuck: generators that get the same set point in every sample. A clip onto the generator limits alone has no "
        "gradient outside them, so that a generator that leaves its range once may never come back.",
    )


def worth(cells: Records) -> Exhibit:
    """What each rule adds when it comes first, and what is lost when it alone is left out."""
    rows = [["rule (Hard)", "added to none: regret", "not operable", "left out of all: regret", "not operable"]]
    none, everything = means_of(cells, "none"), means_of(cells, "all")
    for rule, title in RULES.items():
        alone, without = means_of(cells, rule), means_of(cells, f"all but {rule}")
        if none and everything and alone and without:
            rows.append(
                [
                    title,
                    f"{alone['regret'] - none['regret']:+.3g} $/h",
                    f"{100 * (alone['inoperable'] - none['inoperable']):+.3g} points",
                    f"{without['regret'] - everything['regret']:+.3g} $/h",
                    f"{100 * (without['inoperable'] - everything['inoperable']):+.3g} points",
                ]
            )
    return Exhibit(
        "What each rule is worth",
        rows,
        "Differences of means over seeds; the report has them with intervals. Less regret is better: a rule that is "
        "worth something has a negative number where it is added and a positive one where it is left out.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    for exhibit in (arms_table(results.cells(), results.costs()), worth(results.cells())):
        print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
