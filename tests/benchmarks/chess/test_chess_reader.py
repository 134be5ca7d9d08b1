"""The four readers on a broadcast whose squares are read as they are, or with noise that we put there."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.chess.broadcast import replay
from benchmarks.chess.camera import cropper
from benchmarks.chess.faults import HandOver, LostFrames, Takeback
from benchmarks.chess.games import load_games
from benchmarks.chess.network import SquareNet
from benchmarks.chess.reader import LiveReader, SquareReader, read_recording
from benchmarks.chess.recording import Recording, square_change
from benchmarks.chess.rules import LegalMove, census_rule, square_rule
from benchmarks.chess.scoring import broken_rules, correctness, recovery
from benchmarks.chess.style import TEST_STYLES
from constraints import AskAll, AskChanged, AskShortlist, Decode, Hard, SpecificationError

GAME = next(game for game in load_games() if "Spassky" in game.name)
POLICIES = {"all": AskAll(), "changed": AskChanged(audit=1), "shortlist": AskShortlist(k=5)}


def reader(policy=None, **rules):
    if policy is not None:
        rules["moves"] = Decode(LegalMove(), policy=policy)
    torch.manual_seed(0)
    return SquareReader(SquareNet(4), rules).eval()


def recording(fault=None, frames=70, seed=0):
    """A broadcast without its pictures: only what changes, as the pixels would show it."""
    broadcast = replay(
        GAME, TEST_STYLES[0], np.random.default_rng(seed), difficulty=0.1, max_frames=frames, fault=fault
    )
    labels = broadcast.labels
    changes = 1.0 + 20.0 * (np.diff(labels, axis=0, prepend=labels[:1]) != 0)
    return Recording(
        torch.zeros(len(labels), 64, 1),
        changes.astype(np.float32),
        labels,
        broadcast.ply,
        over=broadcast.fault_frame or 0,
    )


def seen(labels, errors=0.0, seed=0):
    """Logits that show the labels, a share of the squares misread for good (as a real network does)."""
    rng = np.random.default_rng(seed)
    shown = labels.copy()
    wrong = rng.random(64) < errors
    shown[:, wrong] = np.where(shown[:, wrong] > 0, (shown[:, wrong] % 6) + 1 + 6 * (shown[:, wrong] > 6), 0)
    return 9.0 * nn.functional.one_hot(torch.from_numpy(shown).long(), 13).float()


@pytest.mark.parametrize("name", POLICIES)
def test_a_game_is_followed_to_its_end(name):
    r = recording(frames=None)
    labels, asked = read_recording(reader(POLICIES[name]), r, seen(r.labels))
    assert (labels == r.labels).all()
    assert asked[0] == 64
    if name != "all":
        assert asked.mean() < 64 / 3


@pytest.mark.parametrize("name", POLICIES)
def test_knowing_chess_mends_what_is_misread(name):
    r = recording()
    logits = seen(r.labels, errors=0.1, seed=4)
    plain, _ = read_recording(reader(), r, logits)
    informed, _ = read_recording(reader(POLICIES[name]), r, logits)
    assert (plain == r.labels).all(axis=1).mean() < 0.5
    assert (informed == r.labels).all(axis=1).mean() > 0.9


@pytest.mark.parametrize("fault", [HandOver(5), LostFrames(10), Takeback()], ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("name", POLICIES)
def test_readers_find_back(name, fault):
    r = recording(fault, frames=90)
    labels, _ = read_recording(reader(POLICIES[name]), r, seen(r.labels))
    assert recovery(r, labels) <= 30
    assert (labels[-1] == r.labels[-1]).all()


def test_live_reading_is_reading_from_a_table():
    """The lazy network, asked square by square from pixels, gives what the whole answers give."""
    broadcast = replay(GAME, TEST_STYLES[1], np.random.default_rng(1), difficulty=0.1, max_frames=8)
    r = Recording.of(broadcast)
    for rules in (
        {},
        {"policy": AskChanged()},
        {"policy": AskShortlist()},
        {"mask": Hard(square_rule()), "policy": AskAll()},
    ):
        module = reader(**rules)
        with torch.inference_mode():
            expected, asked = read_recording(module, r, module(r.crops))
        live = LiveReader(module)
        for index in range(len(broadcast)):
            labels = live.read(broadcast.frame(index), broadcast.camera(index))
            assert (labels == expected[index]).all()
            assert live.asked == asked[index]


def test_a_mask_holds_for_single_squares_too():
    module = reader(mask=Hard(square_rule()))
    crops = torch.randint(0, 255, (2, 3, 40, 24), dtype=torch.uint8)
    probabilities = module.at(crops, np.array([0, 20])).exp()
    assert float(probabilities[0, [1, 7]].max()) == 0.0
    assert float(probabilities[1, [1, 7]].min()) > 0.0


def test_change_is_seen_where_it_is():
    broadcast = replay(GAME, TEST_STYLES[0], np.random.default_rng(0), difficulty=0.0, hand_rate=0.0, max_frames=12)
    step = int(np.flatnonzero(np.diff(broadcast.ply))[0])
    camera = broadcast.camera(step)
    change = square_change(broadcast.frame(step + 1), broadcast.frame(step), camera, camera)
    moved = set(np.flatnonzero(broadcast.labels[step] != broadcast.labels[step + 1]).tolist())
    assert moved & set(np.argsort(-change)[:4].tolist())
    assert float(square_change(broadcast.frame(1), None, camera, None).max()) == 0.0
    assert cropper(camera)(broadcast.frame(0), [3]).shape == (1, 3, 40, 24)


def test_scores_count_what_they_say():
    r = recording(frames=10)
    labels = r.labels.copy()
    assert correctness([(r, labels)]) == {"square_accuracy": 1.0, "board_accuracy": 1.0, "game_accuracy": 1.0}
    labels[4, 0] = 6
    found = correctness([(r, labels)])
    assert found["board_accuracy"] == pytest.approx(0.9)
    assert found["square_accuracy"] == pytest.approx(1 - 1 / 640)
    rules = broken_rules([labels])
    assert rules["census_violations"] == (1, 10)
    assert rules["move_violations"] == (2, 9)
    assert rules["square_violations"] == (0, 10)


def test_recovery_needs_three_right_boards():
    r = Recording(
        torch.zeros(8, 1), np.zeros((8, 64)), np.zeros((8, 64), dtype=np.int8), np.zeros(8, dtype=int), "x", 2
    )
    labels = r.labels.copy()
    labels[[2, 4], 0] = 1
    assert recovery(r, labels) == 3
    labels[7, 0] = 1
    assert recovery(r, labels) == 6, "never: all that are left"


def test_only_one_rule_follows_a_game():
    module = reader(one=Decode(LegalMove()), two=Decode(LegalMove()))
    with pytest.raises(SpecificationError, match="by one rule"):
        module.tracker()


def test_census_decode_is_applied_to_every_frame():
    r = recording(frames=3)
    logits = seen(r.labels)
    logits[1, 4] = logits[1, 3]  # the king of e1 is read as a second queen
    labels, _ = read_recording(reader(census=Decode(census_rule())), r, logits)
    assert broken_rules([labels])["census_violations"] == (0, 3)
