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
    install, *blocks = _BLOCK.findall(PAGE.read_text())
    # What the tests run on is installed, and stands in the place of the new environment.
    assert "pip install" in install[1]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
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
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        shown = _same_everywhere(done.stdout)
    assert compared == 7


def _same_everywhere(text: str) -> str:
    """What is shown, without what differs in every run."""
    return _SECONDS.sub("in …s", _CLOCK.sub("", _COLOUR.sub("", text)))
