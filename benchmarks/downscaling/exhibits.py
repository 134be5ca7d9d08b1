"""The forms of the balance beside each other and beside the published ones.

`python -m benchmarks.downscaling.exhibits results/downscaling` prints the tables as Markdown.
"""

from __future__ import annotations

import sys

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["forms", "slices"]

ARMS = {
    "none": "no rule",
    "soft": "as a loss",
    "lagrangian": "augmented Lagrangian",
    "decode": "additive, at inference only",
    "soft + decode": "as a loss, additive at inference",
    "additive": "additive",
    "scaled_additive": "scaled additive",
    "multiplicative": "multiplicative",
    "softmax": "softmax",
    "simplex": "additive, none below 0 (simplex)",
}

#: RMSE and mass violation of the CNN at 4x in Harder et al. (JMLR 2023), as transcribed (2nd hand).
PUBLISHED = {
    "none": ".657, .058",
    "soft": ".801, -",
    "additive": ".580, 0",
    "scaled_additive": ".575, 0",
    "multiplicative": ".606, 0",
    "softmax": ".582, 0",
}


def forms(cells: Records, costs: Records, *, published: bool = True) -> Exhibit:
    """A row an arm, with the published row of the same name where there is one for this task."""
    rows = [
        ["arm", "RMSE", "against none", "mass violation, mean", "worst", "cells below 0", "step, time ratio",
         "published RMSE, violation"]
    ]  # fmt: skip
    base = means_of(cells, "none").get("rmse")
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "rmse"),
                    f"{100 * (m['rmse'] / base - 1):+.1f} %" if base else "-",
                    f"{m['mass_violation']:.2g}",
                    f"{m['mass_violation_max']:.2g}",
                    f"{100 * m['negative']:.2g} %",
                    cost_ratio(costs, arm, "time", "train_step"),
                    PUBLISHED.get(arm, "-") if published else "-",
                ]
            )
    return Exhibit(
        "Forms of the balance, on fields like those of training",
        rows,
        "Means over seeds (standard deviation), in kg/m^2. The published figures (4x, read in a transcription) are of "
        "another data set (ERA5), a larger network and longer training: hold the order of the rows against ours, not "
        "the values.",
    )


def slices(cells: Records) -> Exhibit:
    """Out of distribution: a row an arm, RMSE and mass violation on wetter and on rougher fields."""
    rows = [["arm", "wetter: RMSE", "mass violation", "rougher: RMSE", "mass violation"]]
    for arm, title in ARMS.items():
        m = means_of(cells, arm)
        if m:
            shown = [
                part
                for name in ("wetter", "rougher")
                for part in (mean_and_spread(cells, arm, f"rmse_{name}"), f"{m[f'mass_violation_{name}']:.2g}")
            ]
            rows.append([title, *shown])
    return Exhibit(
        "Out of distribution",
        rows,
        "Trained on the usual climate alone. Wetter: mean 24 in place of 15 kg/m^2. Rougher: spectrum k^-1.7 in place "
        "of k^-2.5, and a spread of the logarithm of 0.7 in place of 0.5.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    four_times = results.manifest()["task"] == "downscaling"
    for exhibit in (forms(results.cells(), results.costs(), published=four_times), slices(results.cells())):
        print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
