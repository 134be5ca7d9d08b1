"""The benchmark that the project comes from: reading chessboards in live broadcasts, with and without knowing chess."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.chess.broadcast import Broadcast, replay
from benchmarks.chess.camera import Camera, Image
from benchmarks.chess.exhibits import faults, headline
from benchmarks.chess.faults import Fault, HandOver, IllegalMove, LostFrames, StyleSwap, Takeback
from benchmarks.chess.games import load_games
from benchmarks.chess.network import SquareNet
from benchmarks.chess.positions import board_set
from benchmarks.chess.reader import LiveReader, SquareReader, read_recording
from benchmarks.chess.recording import Recording
from benchmarks.chess.rules import LegalMove, census_rule, square_rule
from benchmarks.chess.scoring import broken_rules, correctness, recovery
from benchmarks.chess.style import TEST_STYLES
from constraints import AskAll, AskChanged, AskShortlist, Decode, Embedding, Hard, Monitor, Soft
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm, standard_arms, standard_contrasts
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import EXTRA, Contrast, Metric
from dkmodels.study.task import Data, Profile, Task, Workload, training_workload

__all__ = ["Chess", "ChessProfile"]

FAULTS: tuple[Fault, ...] = (HandOver(5), StyleSwap(), IllegalMove(), LostFrames(10), Takeback())
CORE = ("squares", "census", "changed")
EXTRAS = ("census_monitor", "census_decode", "moves", "shortlist")


@final
@dataclass(frozen=True, kw_only=True)
class ChessProfile(Profile):
    """Sizes of the benchmark.

    Attributes:
        boards: training positions.
        games: whole games that are tested on.
        frames: a test game is cut after so many frames; None for whole games.
        faulty: broadcasts a kind of fault.
        live: frames of which the latency is measured.
    """

    boards: int = 400
    games: int = 5
    frames: int | None = None
    faulty: int = 2
    live: int = 24


@final
@dataclass(frozen=True, eq=False)
class _Streams:
    games: tuple[Recording, ...]
    faulty: tuple[Recording, ...]
    live: Broadcast


@final
class Chess(Task):
    """Real games, replayed as broadcasts from an oblique camera; trained on random positions and other looks."""

    name = "chess"
    description = (
        "Read the board in every frame of a live chess broadcast: real games, rendered by our own simulator with tall "
        "overlapping pieces, hands, noise and compression; tested on whole games in looks never trained on."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": ChessProfile(
            seeds=3, epochs=5, rounds=3, cost_seeds=2, boards=150, games=2, frames=60, faulty=1, live=20
        ),
        "standard": ChessProfile(seeds=8, epochs=6, rounds=4, cost_seeds=8),
        "full": ChessProfile(seeds=16, epochs=15, rounds=7, cost_seeds=8, boards=1000, games=12, faulty=5),
    }
    #: Set once, before arms were compared, so that the domain-free reader gets about 98 % of the squares right.
    difficulty: ClassVar[float] = 0.15
    hand_rate: ClassVar[float] = 0.12

    def __init__(self, profile: str = "standard") -> None:
        super().__init__(profile)
        self._read: tuple[str, list[Tensor]] | None = None

    @property
    def sizes(self) -> ChessProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, ChessProfile)
        return self.profile

    def __getstate__(self) -> dict[str, Any]:
        """Without the answers that are kept from one arm to the next."""
        return {**vars(self), "_read": None}

    # --- data --------------------------------------------------------------------------------------------------

    def data(self, seed: int) -> Data:
        """Random positions to train on, whole games to test on."""
        rng = np.random.default_rng(seed_streams(seed)["split"])
        sizes = self.sizes
        train, val = (
            board_set(count, rng, difficulty=self.difficulty, hand_rate=self.hand_rate)
            for count in (sizes.boards, max(sizes.boards // 10, 10))
        )
        games = load_games()
        chosen = rng.permutation(len(games))
        styles = [TEST_STYLES[i % len(TEST_STYLES)] for i in rng.permutation(max(sizes.games, len(TEST_STYLES)))]
        whole = [
            replay(
                games[chosen[i]],
                styles[i],
                rng,
                max_frames=sizes.frames,
                difficulty=self.difficulty,
                hand_rate=self.hand_rate,
            )
            for i in range(sizes.games)
        ]
        long = [game for game in games if len(game.moves) >= 50]
        faulty = [
            replay(
                long[int(rng.integers(len(long)))],
                TEST_STYLES[int(rng.integers(len(TEST_STYLES)))],
                rng,
                max_frames=90,
                fault=fault,
                difficulty=self.difficulty,
                hand_rate=self.hand_rate,
            )
            for fault in FAULTS
            for _ in range(sizes.faulty)
        ]
        streams = _Streams(tuple(Recording.of(b) for b in whole), tuple(Recording.of(b) for b in faulty), whole[0])
        first = streams.games[0]
        return Data(
            train=TensorDataset(*(torch.from_numpy(part) for part in train)),
            val=TensorDataset(*(torch.from_numpy(part) for part in val)),
            test=TensorDataset(first.crops, torch.from_numpy(first.labels)),
            batch_size=8,
            extra=streams,
        )

    # --- model and rules ---------------------------------------------------------------------------------------

    def network(self, seed: int) -> nn.Module:
        """A small CNN over square crops."""
        return SquareNet(width=20)

    def rules(self) -> Mapping[str, Embedding]:
        """Every rule in every embedding that makes sense."""
        return {
            "squares": Hard(square_rule()),
            "census": Soft(census_rule(), weight=0.002),
            "changed": Decode(LegalMove(), policy=AskChanged(audit=1)),
            "census_monitor": Monitor(census_rule()),
            "census_decode": Decode(census_rule()),
            "moves": Decode(LegalMove(), policy=AskAll()),
            "shortlist": Decode(LegalMove(), policy=AskShortlist(k=5)),
        }

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> SquareReader:
        """The reader of an arm."""
        return SquareReader(network, rules, learning_rate=4e-3)

    def arms(self) -> list[Arm]:
        """The factorial of mask, census loss and lazy tracking, and each other embedding alone."""
        return [*standard_arms(CORE), *(Arm(name, (name,)) for name in EXTRAS)]

    def contrasts(self) -> list[Contrast]:
        """The standard questions, each other embedding against none, and the lazy trackers against the eager one."""
        rules = self.rules()
        standard = standard_contrasts(standard_arms(CORE), {name: rules[name] for name in CORE})
        others = [
            Contrast(rule=name, embedding=type(rules[name]).__name__, arm=name, baseline="none", family=EXTRA)
            for name in EXTRAS
        ]
        lazy = [
            Contrast(rule=name, embedding="Decode", arm=name, baseline="moves", family="lazy against eager")
            for name in ("changed", "shortlist")
        ]
        return [*standard, *others, *lazy]

    def metrics(self) -> Sequence[Metric]:
        """Correctness, with the smallest gains that would be worth a rule."""
        return [
            Metric(name="board_accuracy", direction="max", gain=0.02, primary=True),
            Metric(name="square_accuracy", direction="max", gain=0.002),
            Metric(name="game_accuracy", direction="max", gain=0.10),
            Metric(name="recovery_frames", direction="min", unit="frames", gain=1.0),
            Metric(name="census_violations", direction="min", gain=0.01, rate=True),
            Metric(name="square_violations", direction="min", gain=0.01, rate=True),
            Metric(name="move_violations", direction="min", gain=0.01, rate=True),
            Metric(name="squares_classified", direction="min", unit="a frame", kind="cost", gain=0.10),
        ]

    # --- measuring ---------------------------------------------------------------------------------------------

    def evaluate(self, module: nn.Module, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Read all test broadcasts."""
        assert isinstance(module, SquareReader)
        streams: _Streams = data.extra
        recordings = [*streams.games, *streams.faulty]
        answers = self._answers(module, recordings, seed)
        read = [read_recording(module, r, y) for r, y in zip(recordings, answers, strict=True)]
        games = [(r, labels) for r, (labels, _) in zip(streams.games, read, strict=False)]
        found: dict[str, float | tuple[int, int]] = {**correctness(games)}
        found |= broken_rules(labels for _, labels in games)
        faulty = [(r, labels) for r, (labels, _) in zip(streams.faulty, read[len(games) :], strict=True)]
        found["recovery_frames"] = float(np.mean([recovery(r, labels) for r, labels in faulty]))
        found["squares_classified"] = float(np.concatenate([asked for _, asked in read[: len(games)]]).mean())
        for kind in dict.fromkeys(r.fault for r, _ in faulty):
            pairs = [(r, labels) for r, labels in faulty if r.fault == kind]
            found[f"fault/{kind}/recovery_frames"] = float(np.mean([recovery(r, labels) for r, labels in pairs]))
            after = [(labels == r.labels).all(axis=1)[r.over :] for r, labels in pairs]
            found[f"fault/{kind}/board_accuracy"] = float(np.concatenate(after).mean())
        return found

    def _answers(self, module: SquareReader, recordings: Sequence[Recording], seed: int) -> list[Tensor]:
        """The network's logits for every frame; kept for the next arm, which often has the same weights."""
        weights = hashlib.sha256(str(seed).encode())
        for value in module.network.state_dict().values():
            weights.update(value.numpy().tobytes())
        key = weights.hexdigest() + type(module.network).__name__
        if self._read is None or self._read[0] != key:
            with torch.inference_mode():
                answers = [torch.cat([module(part) for part in r.crops.split(4)]) for r in recordings]
            self._read = (key, answers)
        return self._read[1]

    def workloads(self, module: nn.Module, data: Data) -> dict[str, Workload]:
        """A live frame, from pixels to labels, and a training step."""
        assert isinstance(module, SquareReader)
        streams: _Streams = data.extra
        count = min(self.sizes.live, len(streams.live))
        frames = [(streams.live.frame(i), streams.live.camera(i)) for i in range(count)]
        batch = tuple(torch.stack(part) for part in zip(*(data.train[i] for i in range(4)), strict=True))

        def live() -> list[float]:
            reader = LiveReader(module)
            return [_timed(reader, frame, camera) for frame, camera in frames]

        return {
            "frame": Workload(run=live, unit="frame"),
            "train_step": training_workload(module, batch, unit="step of 4 boards"),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The headline table and the fault table."""
        return [headline(cells, costs), faults(cells)]


def _timed(reader: LiveReader, frame: Image, camera: Camera) -> float:
    start = time.perf_counter()
    reader.read(frame, camera)
    return time.perf_counter() - start
