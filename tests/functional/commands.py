"""``dbt-dynamic`` as a user types it, in a test's project."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from dbt.adapters.dynamic.cli.main import run
from tests.functional.project import LakeProject, close_dbt

# Nothing is kept for its age alone.
NOW = ("--snapshot-retention", "0s", "--file-retention", "0s")


def dbt_dynamic(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run ``dbt-dynamic`` on a project; returns its exit code and what it printed."""
    close_dbt()
    shown = io.StringIO()
    places = ("--project-dir", str(folder), "--profiles-dir", str(folder))
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = run([*arguments, *places])
    close_dbt()
    return code, shown.getvalue()


def command(project: LakeProject, *arguments: str) -> int:
    """Run ``dbt-dynamic`` in the project; its standard output goes to `project.output`."""
    code, project.output = dbt_dynamic(project.folder, *arguments)
    return code


def maintain(project: LakeProject, *arguments: str) -> list[tuple[str, str, str]]:
    """Maintain, let the oracle check, and return action, subject and detail of each step."""
    code = command(project, "maintain", "--output", "json", *(arguments or NOW))
    assert code == 0, project.output
    project.check()
    return [
        (step["action"], step["subject"], step["detail"])
        for step in json.loads(project.output)["steps"]
    ]
