"""The quickstart, as a newcomer pastes it: its blocks, in their order, in a shell of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COLOUR = re.compile(r"\x1b\[\d*m")
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d  ", re.MULTILINE)
_SECONDS = re.compile(r"\bin \d+\.\d\ds\b")


def test_the_quickstart_does_what_it_says(tmp_path: Path) -> None:
    assert walk(tmp_path, Path(sys.executable).parent) == 7


def walk(folder: Path, programs: Path) -> int:
    """Run the blocks after the first one, which installs, and compare what they show.

    Args:
        folder: an empty folder to run them in.
        programs: the folder of the environment's `python` and `dbt`.

    Returns:
        How many blocks of output were compared.

    Raises:
        AssertionError: a block failed, or showed something else.
    """
    install, *blocks = _BLOCK.findall(PAGE.read_text())
    assert "pip install" in install[1]
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    shown, compared = "", 0
    for kind, text in blocks:
        if kind == "text":
            assert _same_everywhere(text) in shown, shown
            compared += 1
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        shown = _same_everywhere(done.stdout)
    return compared


def _same_everywhere(text: str) -> str:
    """What is shown, without what differs in every run."""
    return _SECONDS.sub("in …s", _CLOCK.sub("", _COLOUR.sub("", text)))
