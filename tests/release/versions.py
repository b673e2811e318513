"""Every supported Python with every supported dbt-core: the quickstart, and tests of everything.

``python -m tests.release.versions dist/*.whl`` ends with exit code 0 if all that can be installed
passes. What cannot be installed is named, with the reason.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.functional.test_quickstart import walk

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
DBT_CORES = ("1.10", "1.11", "1.12")
# A second opinion on the rest of dbt, where versions differ: parsing, tests, docs, the commands.
_TESTS = (
    "tests/functional/test_refresh.py",
    "tests/functional/test_dbt_features.py",
    "tests/functional/test_cli.py",
)
_TEST_TOOLS = ("pytest>=8,<10", "pytest-xdist>=3,<4", "hypothesis>=6.100,<7")
# dbt-core 1.12 requires this, which is downloaded from elsewhere while it is installed, and which
# it imports only where somebody asks for its experimental parser.
_DOWNLOADED = "dbt-core-experimental-parser"


@dataclass(frozen=True)
class Outcome:
    """What became of a pair of versions: ``passed``, ``FAILED`` or ``skipped``, and why."""

    python: str
    dbt_core: str
    word: str
    remark: str = ""

    def __str__(self) -> str:
        return f"Python {self.python:<5} dbt-core {self.dbt_core:<5} {self.word:<8} {self.remark}"


def interpreter(version: str) -> str | None:
    """A Python of a version on this machine: on PATH, or installed by pyenv; None if none runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [f"python{version}", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in candidates:
        try:
            said = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
        except FileNotFoundError:
            continue
        if said == version:
            return candidate
    return None


def try_out(wheel: Path, version: str, dbt_core: str) -> Outcome:
    """Use a wheel in a clean environment of one Python and one dbt-core."""
    python = interpreter(version)
    if python is None:
        return Outcome(version, dbt_core, "skipped", f"no Python {version} on this machine")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        environment, folder = Path(place) / "environment", Path(place) / "shop"
        folder.mkdir()
        subprocess.run([python, "-m", "venv", environment], check=True)
        try:
            _install(environment / "bin" / "pip", wheel, dbt_core)
        except subprocess.CalledProcessError as error:
            lines = [line for line in str(error.stderr).splitlines() if line.strip()]
            reason = next((line for line in lines if "rror" in line), "pip says nothing")
            return Outcome(version, dbt_core, "skipped", f"cannot be installed: {reason.strip()}")
        found = _installed(environment / "bin" / "python")
        try:
            compared = walk(folder, environment / "bin")
        except AssertionError as error:
            print(error)
            return Outcome(version, dbt_core, "FAILED", f"{found}: the quickstart")
        tests = subprocess.run(
            [environment / "bin" / "python", "-m", "pytest", *_TESTS],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    last = tests.stdout.strip().splitlines()[-1].strip("= ")
    if tests.returncode:
        print(tests.stdout)
        return Outcome(version, dbt_core, "FAILED", f"{found}: {last}")
    seconds = time.monotonic() - began
    remark = f"{found}: {compared} outputs of the quickstart, {last}, {seconds:.0f} s in all"
    return Outcome(version, dbt_core, "passed", remark)


def _install(pip: Path, wheel: Path, dbt_core: str) -> None:
    """Install a wheel, what its tests need, and the newest dbt-core of a minor version.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """

    def run(*arguments: str) -> None:
        command = [pip, "--disable-pip-version-check", "install", *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)

    # Of the versions that the tests run on only DuckDB's: the others are not for all Pythons.
    pinned = re.findall(
        r"^(duckdb\S*==\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    wanted = [f"{wheel.resolve()}[bundled]", *pinned, *_TEST_TOOLS]
    if dbt_core != "1.12":
        run(*wanted, f"dbt-core=={dbt_core}.*")
        return
    run(*wanted, "dbt-core<1.12")
    run("--upgrade", "--no-deps", f"dbt-core=={dbt_core}.*")
    python = pip.with_name("python")
    requires = subprocess.run(
        [
            python,
            "-c",
            "import importlib.metadata as m; print(*m.requires('dbt-core'), sep='\\n')",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    run(*(one for one in requires if not one.startswith(_DOWNLOADED) and "extra ==" not in one))


def _installed(python: Path) -> str:
    """The versions that were installed."""
    program = (
        "import importlib.metadata as m; "
        "print(*(f'{p} {m.version(p)}' for p in ('dbt-core', 'dbt-adapters', 'dbt-duckdb')))"
    )
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="X.Y")
    parser.add_argument("--dbt-core", nargs="+", default=DBT_CORES, metavar="X.Y")
    arguments = parser.parse_args()
    outcomes = []
    for version in arguments.python:
        for dbt_core in arguments.dbt_core:
            outcomes.append(try_out(arguments.wheel, version, dbt_core))
            print(outcomes[-1], flush=True)
    if any(one.word == "FAILED" for one in outcomes) or all(
        one.word == "skipped" for one in outcomes
    ):
        sys.exit(1)


if __name__ == "__main__":
    main()
