"""The cars, their splits, and how answers are judged, apart from any rule's own code."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from dkmodels.random import seed_streams

__all__ = ["FALLING", "FEATURES", "Split", "judge", "split", "sweeps"]

FILE = Path(__file__).parent / "data" / "auto_mpg.csv"
NUMBERS = ("weight", "displacement", "horsepower", "age", "acceleration", "cylinders")
FEATURES = (*NUMBERS, "north_america", "europe", "asia")
#: Where more of it, all else equal, does not take a car further on a gallon.
FALLING = ("weight", "displacement", "horsepower", "age")
NEWEST, TEST, MOST_VALIDATION = 82, 78, 60
WRONG_WAY = 1e-3  # mpg; float32 answers of 20 mpg round to 2e-6
STEPS = 25


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One seed's cars, float32. Inputs and mileage are standardised by the training cars alone.

    Attributes:
        train: `x` and `y`, `(n, 9)` and `(n, 1)`.
        val: to choose when to stop.
        test: never looked at before the end.
        scale: one standard deviation of the training cars' mileage, mpg.
        centre: their mean, mpg.
        low: least value of each input over all cars, standardised, `(9,)`: the range in which curves are drawn.
        high: greatest value.
    """

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    scale: float
    centre: float
    low: Tensor
    high: Tensor


def split(seed: int, samples: int | None) -> Split:
    """78 cars to test on, half as many as to train on to validate with (at most 60), and the first of the rest.

    A seed's test cars are the same for every number of samples, and fewer samples are a part of more.

    Args:
        seed: which cars.
        samples: how many to train on; all that are left by default (254).

    Example:
        >>> few, all_cars = split(0, 20), split(0, None)
        >>> len(few.train[0]), len(few.val[0]), len(few.test[0]), len(all_cars.train[0])
        (20, 10, 78, 254)
    """
    x, y = _cars()
    order = np.random.default_rng(seed_streams(seed)["split"]).permutation(len(x))
    test, val, rest = order[:TEST], order[TEST : TEST + MOST_VALIDATION], order[TEST + MOST_VALIDATION :]
    train = rest if samples is None else rest[:samples]
    val = val[: len(train) // 2]
    centre, scale = x[train].mean(axis=0), np.maximum(x[train].std(axis=0), 1e-9)
    centre[len(NUMBERS) :], scale[len(NUMBERS) :] = 0.0, 1.0  # origins are 0 or 1
    middle, spread = float(y[train].mean()), float(y[train].std())
    inputs = torch.from_numpy((x - centre) / scale).float()
    targets = torch.from_numpy((y - middle) / spread).float()[:, None]

    def part(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        return inputs[rows], targets[rows]

    return Split(
        train=part(train),
        val=part(val),
        test=part(test),
        scale=spread,
        centre=middle,
        low=inputs.amin(dim=0),
        high=inputs.amax(dim=0),
    )


def sweeps(cars: Split, feature: str, steps: int = STEPS) -> Tensor:
    """Every test car with one of its inputs moved over its range, `(78, steps, 9)`; the others are held.

    Example:
        >>> sweeps(split(0, 20), "weight").shape
        torch.Size([78, 25, 9])
    """
    column = FEATURES.index(feature)
    x = cars.test[0].unsqueeze(1).repeat(1, steps, 1)
    x[..., column] = torch.linspace(float(cars.low[column]), float(cars.high[column]), steps)
    return x


def judge(predict: Callable[[Tensor], Tensor], cars: Split) -> dict[str, float | tuple[int, int]]:
    """Errors on the test cars, and how far the curves of single inputs go the wrong way.

    Args:
        predict: from standardised inputs `(n, 9)` to standardised mileage `(n, 1)`.
        cars: the split.

    Returns:
        `rmse` and `mae` in mpg; `wrong_way`, the most that a car's mileage rises along a curve that must fall, mpg,
        averaged over test cars and the four inputs, and `wrong_way_max`; `wrong_curves`, how many curves do so.

    Example:
        >>> cars = split(0, 20)
        >>> heavy_is_good = judge(lambda x: x[:, :1], cars)
        >>> heavy_is_good["wrong_curves"]
        (78, 312)
    """
    x, y = cars.test
    error = cars.scale * (predict(x) - y).double().flatten()
    rises = []
    for feature in FALLING:
        curves = cars.scale * predict(sweeps(cars, feature).flatten(0, 1)).double().reshape(TEST, STEPS)
        # The greatest rise from any point of a curve to any later one.
        rises.append((curves - curves.cummin(dim=1).values).amax(dim=1))
    rise = torch.cat(rises)
    return {
        "rmse": float(error.square().mean().sqrt()),
        "mae": float(error.abs().mean()),
        "wrong_way": float(rise.mean()),
        "wrong_way_max": float(rise.max()),
        "wrong_curves": (int((rise > WRONG_WAY).sum()), len(rise)),
    }


def _cars() -> tuple[np.ndarray, np.ndarray]:
    """Inputs `(392, 9)` and mileage `(392,)`."""
    with FILE.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    for row in rows:
        row["age"] = NEWEST - row["year"]
        for number, name in enumerate(FEATURES[len(NUMBERS) :], start=1):
            row[name] = float(row["origin"] == number)
    return np.array([[row[name] for name in FEATURES] for row in rows]), np.array([row["mpg"] for row in rows])
