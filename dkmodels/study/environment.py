"""Where and with what a study ran."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil
import torch

__all__ = ["describe_code", "describe_environment"]

PACKAGES = ("dkmodels", "torch", "pytorch-lightning", "torchmetrics", "einops", "sympy", "numpy", "scipy", "chess")


def describe_code(folder: Path | None = None) -> dict[str, str]:
    """The version of the code: git commit, and whether the tree had changes; 'unknown' outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder or Path.cwd(), capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": "unknown", "changes": "unknown"}
    return {"commit": commit, "changes": "yes" if git("status", "--porcelain") else "none"}


def describe_environment() -> dict[str, str]:
    """Machine, versions and threads, as strings for records."""
    found = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=True)),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
