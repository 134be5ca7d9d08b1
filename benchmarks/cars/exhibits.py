"""Our arms beside peers: `python -m benchmarks.cars.exhibits results/cars` prints the table as Markdown."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev

from benchmarks.tables import Records, cost_ratio, mean_and_spread, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["PEERS", "beside_peers"]

#: Written by `python -m benchmarks.cars.peers`.
PEERS = Path(__file__).parent / "data" / "peers.csv"

ARMS = {
    "none": "none",
    "soft": "Soft",
    "lagrangian": "AugmentedLagrangian",
    "wrap": "Hard, the network wrapped",
    "shaped": "Hard, ShapedNetwork",
}


def beside_peers(cells: Records, costs: Records, task: str) -> Exhibit:
    """A row an arm, then the peers, on the same splits."""
    rows = [["arm", "RMSE, mpg", "MSE, mpg^2", "wrong way, mpg", "curves that go the wrong way", "step, time ratio"]]
    for arm, title in ARMS.items():
        if means_of(cells, arm):
            squares = [cell["metrics"]["rmse"] ** 2 for cell in cells if cell["arm"] == arm and cell["metrics"]]
            rows.append(
                [
                    title,
                    mean_and_spread(cells, arm, "rmse"),
                    f"{mean(squares):.3g}",
                    mean_and_spread(cells, arm, "wrong_way", 2),
                    f"{100 * means_of(cells, arm)['wrong_curves']:.3g} %",
                    cost_ratio(costs, arm, "time", "train_step"),
                ]
            )
    rows += [_peer_row(name, found) for name, found in _peers(task).items()]
    return Exhibit(
        "Mileage",
        rows,
        "Means over seeds (standard deviation), test cars that no arm saw. Wrong way: the most that a test car's "
        "mileage rises as its weight, displacement, power or age grows over the range of all cars, the rest held; "
        "mean over cars and inputs. Peers (`python -m benchmarks.cars.peers`): the same ten splits. The published MSE "
        "of monotone networks on Auto MPG, 8.37, is of other splits, whose test cars also chose when to stop: no "
        "yardstick for these.",
    )


def _peers(task: str) -> Mapping[str, list[dict[str, str]]]:
    """Rows of the peers by name; empty where they were never run."""
    if not PEERS.exists():
        return {}
    with PEERS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == task]
    return {name: [row for row in rows if row["peer"] == name] for name in dict.fromkeys(row["peer"] for row in rows)}


def _peer_row(name: str, found: list[dict[str, str]]) -> list[str]:
    rmse = [float(row["rmse"]) for row in found]
    wrong = [float(row["wrong_way"]) for row in found]
    spread = [f" ({stdev(values):.2g})" if len(values) > 1 else "" for values in (rmse, wrong)]
    curves = 100 * mean(float(row["wrong_curves"]) for row in found)
    return [
        f"peer: {name}",
        f"{mean(rmse):.3g}{spread[0]}",
        f"{mean(value**2 for value in rmse):.3g}",
        f"{mean(wrong):.2g}{spread[1]}",
        f"{curves:.3g} %",
        "-",
    ]


if __name__ == "__main__":
    results = Store(sys.argv[1])
    exhibit = beside_peers(results.cells(), results.costs(), results.manifest()["task"])
    print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
