"""Install packages into clean environments, and walk through the quickstart there.

``python -m tests.release.smoke dist/*`` ends with exit code 0 if all of them pass.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.functional.test_quickstart import walk

ROOT = Path(__file__).parents[2]


def smoke(package: Path, python: str) -> None:
    """Install a package, with what the tests run on, and use it.

    Args:
        package: an sdist or a wheel.
        python: the Python to make the environment with.

    Raises:
        AssertionError: the quickstart does not do what it says.
        subprocess.CalledProcessError: it cannot be installed.
    """
    with tempfile.TemporaryDirectory() as place:
        environment, folder = Path(place) / "environment", Path(place) / "shop"
        folder.mkdir()
        subprocess.run([python, "-m", "venv", environment], check=True)
        pip = [environment / "bin" / "pip", "--disable-pip-version-check", "install", "--quiet"]
        constraint = ["--constraint", ROOT / "constraints.txt"]
        subprocess.run([*pip, *constraint, f"{package.resolve()}[bundled]"], check=True)
        compared = walk(folder, environment / "bin")
    print(f"{package.name}: installs and passes, {compared} outputs compared", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=Path, help="sdists and wheels")
    parser.add_argument("--python", default=sys.executable, help="makes the environments")
    arguments = parser.parse_args()
    for package in arguments.packages:
        smoke(package, arguments.python)


if __name__ == "__main__":
    main()
