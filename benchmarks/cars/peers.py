"""Peers on the same splits: `python -m benchmarks.cars.peers --seeds 10 --out benchmarks/cars/data/peers.csv`.

Needs `pip install monotonenorm pytorch-lattice scikit-learn`; a peer that is not there is left out, and said to be.

- monotonenorm (Kitouni et al.): the network of our task, its norms limited by their layers, their `SigmaNet` round it.
- pytorch-lattice: a calibrated lattice of 2^9 vertices, in a regression loop of ours (their trainer classifies only).
- scikit-learn: gradient boosting, with `monotonic_cst` and without.

All stop where the validation cars are best, as our arms do: the first two have the epochs, the batches and the
optimiser of our task (the lattice ten times its rate), boosting has up to 300 trees.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import TASKS
from benchmarks.cars.problem import FALLING, FEATURES, Split, judge
from benchmarks.cars.task import RATE, WIDTH, Cars
from dkmodels.random import seed_streams
from dkmodels.study.task import load_task

__all__ = ["PEERS"]

Predict = Callable[[Tensor], Tensor]
NAMES = ("cars-20", "cars-50", "cars-200", "cars")


def _train(network: nn.Module, cars: Split, epochs: int, seed: int, rate: float, after: Callable[[], Any]) -> Predict:
    """Adam on mean squared error; the best of sixty looks at the validation cars."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed_streams(seed)["batches"])
    dtype = next(network.parameters()).dtype
    (x, y), (x_val, y_val) = ([part.to(dtype) for part in parts] for parts in (cars.train, cars.val))
    least, kept = math.inf, copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(x[rows]).reshape(-1, 1), y[rows]).backward()
            optimizer.step()
            after()
        if (epoch + 1) % max(1, epochs // 60) == 0:
            with torch.no_grad():
                loss = float(nn.functional.mse_loss(network(x_val).reshape(-1, 1), y_val))
            if loss < least:
                least, kept = loss, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)

    def predict(given: Tensor) -> Tensor:
        with torch.no_grad():
            answer: Tensor = network(given.to(dtype)).reshape(-1, 1)
        return answer

    return predict


def kitouni(cars: Split, epochs: int, seed: int) -> Predict:
    """Their layers as in their examples: columns' norm in the first layer, rows' after it, `sigma` 1."""
    import monotonenorm as mn  # type: ignore[import-not-found,unused-ignore]

    torch.manual_seed(seed_streams(seed)["weights"])
    n = len(FEATURES)
    chain = nn.Sequential(
        mn.direct_norm(nn.Linear(n, WIDTH), kind="one-inf"),
        mn.GroupSort(WIDTH // 2),
        mn.direct_norm(nn.Linear(WIDTH, WIDTH), kind="inf"),
        mn.GroupSort(WIDTH // 2),
        mn.direct_norm(nn.Linear(WIDTH, 1), kind="inf"),
    )
    network = mn.SigmaNet(chain, sigma=1.0, monotone_constraints=[-float(name in FALLING) for name in FEATURES])
    return _train(network, cars, epochs, seed, RATE, lambda: None)


def lattice(cars: Split, epochs: int, seed: int) -> Predict:
    """Calibrators of ten keypoints at quantiles of the training cars, then a lattice."""
    from pytorch_lattice.enums import Monotonicity  # type: ignore[import-not-found,unused-ignore]
    from pytorch_lattice.models import CalibratedLattice  # type: ignore[import-not-found,unused-ignore]
    from pytorch_lattice.models.features import NumericalFeature  # type: ignore[import-not-found,unused-ignore]

    torch.manual_seed(seed_streams(seed)["weights"])
    x = cars.train[0].double().numpy()
    low, high = cars.low.double().numpy(), cars.high.double().numpy()
    features = [
        NumericalFeature(
            feature_name=name,
            # The ends of the range too: beyond its keypoints a calibrator is flat.
            data=np.concatenate([x[:, column], [low[column], high[column]]]),
            num_keypoints=10,
            monotonicity=Monotonicity.DECREASING if name in FALLING else None,
        )
        for column, name in enumerate(FEATURES)
    ]
    network = CalibratedLattice(features=features, clip_inputs=True)
    return _train(network, cars, epochs, seed, 10.0 * RATE, network.apply_constraints)


def boosting(cars: Split, epochs: int, seed: int, *, monotone: bool = True) -> Predict:
    """Trees until the validation cars are best; small leaves, as there are few samples."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # type: ignore[import-not-found,unused-ignore]

    directions = [-int(monotone and name in FALLING) for name in FEATURES]
    model = HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.05, min_samples_leaf=5, early_stopping=False, monotonic_cst=directions
    )
    x, y = (part.double().numpy() for part in cars.train)
    x_val, y_val = (part.double().numpy() for part in cars.val)
    model.fit(x, y.ravel())
    losses = [float(np.mean((answer - y_val.ravel()) ** 2)) for answer in model.staged_predict(x_val)]
    model.set_params(max_iter=1 + int(np.argmin(losses)))
    model.fit(x, y.ravel())
    return lambda given: torch.from_numpy(model.predict(given.double().numpy())).reshape(-1, 1)


PEERS: Mapping[str, Callable[[Split, int, int], Predict]] = {
    "monotonenorm": kitouni,
    "pytorch-lattice": lattice,
    "boosting, monotone": boosting,
    "boosting, no rule": lambda cars, epochs, seed: boosting(cars, epochs, seed, monotone=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Peers on the splits of the cars tasks.")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--out", type=Path, required=True, help="file to write, one row a task, peer and seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for peer, make in PEERS.items():
        try:
            for name in NAMES:
                task = load_task(TASKS[name], "standard")
                assert isinstance(task, Cars)
                for seed in range(options.seeds):
                    cars = task.data(seed).extra
                    found = judge(make(cars, task.profile.epochs, seed), cars)
                    k, n = found.pop("wrong_curves")  # type: ignore[misc]
                    rows.append({"task": name, "peer": peer, "seed": seed, **found, "wrong_curves": k / n})
                print(name, peer, f"{np.mean([r['rmse'] for r in rows[-options.seeds :]]):.3f}", flush=True)
        except ModuleNotFoundError as error:
            print(f"{peer}: left out, {error.name} is not installed")
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


if __name__ == "__main__":
    main()
