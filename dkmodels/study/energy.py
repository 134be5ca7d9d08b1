"""Energy, with the method named: measured where the machine has a counter, estimated otherwise."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, final

import torch

__all__ = ["CpuTimeEstimate", "EnergyMeter", "Nvml", "Rapl", "find_meter"]

WATTS_PER_CORE = 10.0  # assumed, not measured: a server core at full load draws about this much


class EnergyMeter(ABC):
    """Reads a counter of joules; only differences mean something.

    Attributes:
        method: how, as it stands in tables; methods never mix in one comparison.
    """

    method: ClassVar[str]

    @abstractmethod
    def joules(self) -> float:
        """The counter now."""


@final
class Rapl(EnergyMeter):
    """The processor's own counter (all packages), where the kernel lets us read it."""

    method = "rapl"
    root = Path("/sys/class/powercap")

    def __init__(self) -> None:
        self._zones = [zone for zone in sorted(self.root.glob("intel-rapl:?")) if (zone / "energy_uj").exists()]
        if not self._zones:
            raise OSError("no RAPL zone")
        self._ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
        self._last = self._read()
        self._total = 0

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]

    def joules(self) -> float:
        """The sum of all packages, unwrapped."""
        now = self._read()
        # The counters start again at their range.
        self._total += sum((b - a) % r for a, b, r in zip(self._last, now, self._ranges, strict=True))
        self._last = now
        return self._total / 1e6


@final
class Nvml(EnergyMeter):
    """The counter of the current NVIDIA GPU."""

    method = "nvml"

    def __init__(self) -> None:
        import pynvml  # type: ignore[import-untyped,import-not-found,unused-ignore]

        pynvml.nvmlInit()
        self._pynvml: Any = pynvml
        self._device = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
        self.joules()

    def joules(self) -> float:
        """Since the driver was loaded."""
        torch.cuda.synchronize()
        return float(self._pynvml.nvmlDeviceGetTotalEnergyConsumption(self._device)) / 1e3


@final
class CpuTimeEstimate(EnergyMeter):
    """CPU seconds of this process times an assumed power of a core: an estimate, and called so.

    Args:
        watts: of one busy core.

    Example:
        >>> CpuTimeEstimate().method
        'cpu_time_estimate'
    """

    method = "cpu_time_estimate"

    def __init__(self, watts: float = WATTS_PER_CORE) -> None:
        self.watts = watts

    def joules(self) -> float:
        """CPU seconds times watts."""
        return time.process_time() * self.watts


def find_meter(device: str = "cpu") -> EnergyMeter:
    """The best meter of a device: the GPU's counter, the processor's, or the estimate."""
    if device.startswith("cuda"):
        try:
            return Nvml()
        except Exception:  # whatever the driver or the optional package says, there is a next choice
            pass
    try:
        return Rapl()
    except (OSError, ValueError):
        return CpuTimeEstimate()
