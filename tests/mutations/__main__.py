"""make mutations: breaks the rules and the guards on purpose, one at a time.

Every break is a replacement in a copy of the package. A rule's must be seen by the oracle, a
guard's by its test. Exit code 1 if one is not seen, or if its text is not found exactly once.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.mutations import guards, rules

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Try all breaks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", choices=["rules", "guards"])
    only = parser.parse_args().only
    breaks = [
        *(guards.BREAKS if only != "rules" else []),
        *(rules.BREAKS if only != "guards" else []),
    ]
    failed = missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("dbt", "tests"):
            shutil.copytree(_ROOT / name, folder / name)
        for name in ("pyproject.toml", "setup.py", "README.md", "docs", "integration_tests"):
            (folder / name).symlink_to(_ROOT / name)
        for line in guards.failing(folder) if only != "rules" else []:
            print(f"WITH NOTHING BROKEN: {line}", flush=True)
            failed += 1
        for mutation in breaks:
            try:
                with mutation.made(folder):
                    seen = (
                        guards.caught(mutation.test, folder)
                        if mutation.test
                        else rules.caught(mutation.seed, folder)
                    )
                verdict = f"caught {seen}" if seen else "NOT CAUGHT"
            except (OSError, ValueError, RuntimeError) as error:
                seen, verdict = "", f"NOT APPLICABLE: {error}"
            missed += not seen
            print(f"{mutation.module:<40} | {mutation.what:<66} | {verdict}", flush=True)
    print(f"{len(breaks) - missed} of {len(breaks)} caught")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
