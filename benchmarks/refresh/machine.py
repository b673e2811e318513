"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import duckdb

from dbt.adapters.dynamic.__version__ import version


def describe() -> dict[str, Any]:
    """The machine and the versions: what JSON can hold."""
    return {
        "cpu": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 1024**2, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "dbt_dynamic": version,
    }


class Steal:
    """How much of the machine's time its host gave to others, since this was made."""

    def __init__(self) -> None:
        self._before = _ticks()

    def share(self) -> float | None:
        """The share of all cores' time from 0 to 1; None where the system does not tell."""
        after = _ticks()
        if not after or not self._before:
            return None
        spent = [new - old for new, old in zip(after, self._before, strict=True)]
        return spent[7] / sum(spent) if sum(spent) else 0.0


def _ticks() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq and steal, of all cores (proc(5))."""
    found = _first(r"cpu +([\d ]+)", "/proc/stat")
    return [int(number) for number in found.split()[:8]] if found else []


def _first(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return ""
    return found.group(1).strip() if found else ""
