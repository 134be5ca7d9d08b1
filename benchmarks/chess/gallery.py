"""Contact sheet of the simulator: `python -m benchmarks.chess.gallery out.png`."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.chess.camera import square_crops
from benchmarks.chess.games import load_games
from benchmarks.chess.hand import random_hand
from benchmarks.chess.labels import SYMBOLS, Labels
from benchmarks.chess.render import Frame, render
from benchmarks.chess.style import TEST_STYLES, TRAIN_STYLES, Style

DIFFICULTIES: Final = (0.0, 0.5)


def sheet(seed: int = 0) -> Image.Image:
    """Frames of every style at two difficulties, frames with a hand, and the 64 crops of one frame with labels."""
    rng = np.random.default_rng(seed)
    labels = load_games()[0].positions()[16]
    tiles: list[tuple[str, Frame]] = []
    for style in (*TRAIN_STYLES, *TEST_STYLES):
        tiles += [(f"{style.name}, difficulty {level}", render(labels, style, rng, difficulty=level))
                  for level in DIFFICULTIES]  # fmt: skip
    tiles += [
        ("hand of White", render(labels, TRAIN_STYLES[0], rng, hand=random_hand(35, True, rng))),
        ("hand of Black", render(labels, TEST_STYLES[1], rng, hand=random_hand(35, False, rng))),
        ("difficulty 1.0", render(labels, TEST_STYLES[0], rng, difficulty=1.0)),
        ("difficulty 0.8", render(labels, TEST_STYLES[2], rng, difficulty=0.8)),
    ]
    columns = 4
    height, width = tiles[0][1].shape[0] + 14, tiles[0][1].shape[1] + 4
    crops = _crops(labels, TEST_STYLES[0], rng)
    rows = -(-len(tiles) // columns)
    image = Image.new("RGB", (columns * width, rows * height + crops.height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for index, (title, frame) in enumerate(tiles):
        left, top = index % columns * width, index // columns * height
        draw.text((left + 2, top), title, fill=(0, 0, 0))
        image.paste(Image.fromarray(frame), (left, top + 14))
    image.paste(crops, (0, rows * height))
    return image


def _crops(labels: Labels, style: Style, rng: np.random.Generator) -> Image.Image:
    """The 64 crops of one clean frame, eight a row from the eighth rank, doubled in size, with their labels."""
    frame = render(labels, replace(style, noise=1.0), rng)
    crops = square_crops(frame, style.camera)
    image = Image.new("RGB", (16 * 58, 4 * 98), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for square in range(64):
        left, top = square % 16 * 58, (63 - square) // 16 * 98
        crop = Image.fromarray(crops[square].transpose(1, 2, 0)).resize((48, 80), Image.Resampling.NEAREST)
        draw.text((left + 2, top), SYMBOLS[labels[square]], fill=(0, 0, 0))
        image.paste(crop, (left, top + 14))
    return image


def main() -> None:
    """Write the contact sheet."""
    parser = argparse.ArgumentParser(description="Write a contact sheet of the chess broadcast simulator.")
    parser.add_argument("path", type=Path, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sheet(options.seed).save(options.path)


if __name__ == "__main__":
    main()
