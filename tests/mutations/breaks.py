"""A deliberate mistake in a copy of the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path("dbt/adapters/dynamic")


@dataclass(frozen=True)
class Break:
    """A deliberate mistake.

    Attributes:
        module: where, below the package.
        what: what is wrong then.
        old: the text to replace; it stands there once.
        new: what takes its place.
        test: the test that must fail; "" for the oracle.
        seed: of the oracle's first cases; a break that only rare cases see is looked for near one.
    """

    module: str
    what: str
    old: str
    new: str
    test: str = ""
    seed: int = 0

    @contextmanager
    def made(self, folder: Path) -> Iterator[None]:
        """Make the mistake in a copy of the project, and mend it at the end.

        Raises:
            ValueError: the text to replace does not stand there once.
        """
        target = folder / _PACKAGE / self.module
        original = target.read_text()
        # Line breaks are the formatter's.
        pattern = r"\s+".join(re.escape(word) for word in self.old.split())
        if len(re.findall(pattern, original)) != 1:
            raise ValueError(f"{self.module}: {self.old!r} does not stand there once")
        target.write_text(re.sub(pattern, lambda _: self.new, original))
        try:
            yield
        finally:
            target.write_text(original)


def run(
    folder: Path, module: str, *arguments: str, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python module with a copy of the project.

    Raises:
        subprocess.TimeoutExpired: it does not end within so many seconds.
    """
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
