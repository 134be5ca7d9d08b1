"""The report in a real browser: it shows its content, and it is not blank, wide or narrow, light or dark."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome on this machine"
)


def browse(page: Path, *flags: str) -> str:
    """What the browser prints for a page."""
    assert BROWSER is not None
    profile = page.parent / "profile"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--virtual-time-budget=2000", *flags,
               page.as_uri()]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # By path, so that it works under any import mode of pytest.
    spec = importlib.util.spec_from_file_location("fake_report", Path(__file__).with_name("test_report.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(module.fake_page(), encoding="utf-8")
    return path


def test_browser_shows_the_content(page: Path) -> None:
    dom = browse(page, "--dump-dom")
    for text in (
        "chess boards",
        "Recommended arm",
        "HARMFUL",
        "all but turn order",
        "Learning curves",
        "no legal move",
    ):
        assert text in dom
    assert dom.count("<svg") >= 8


@pytest.mark.parametrize(
    ("width", "flags"),
    [(1200, []), (420, []), (1200, ["--blink-settings=preferredColorScheme=0"])],
    ids=["wide", "narrow", "dark"],
)
def test_screenshot_is_not_blank(page: Path, width: int, flags: list[str]) -> None:
    picture = page.parent / f"{width}{len(flags)}.png"
    browse(page, f"--screenshot={picture}", f"--window-size={width},3000", "--hide-scrollbars", *flags)
    pixels = np.asarray(imread(picture))[..., :3]  # (height, width, 3) in [0, 1]
    paper = np.median(pixels.reshape(-1, 3), axis=0)
    drawn = np.abs(pixels - paper).max(axis=-1) > 0.2
    assert 0.01 < drawn.mean() < 0.5
    assert all(band.any() for band in np.array_split(drawn, 10))  # from top to bottom
    assert bool(paper.mean() < 0.3) is bool(flags)
