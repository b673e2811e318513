"""``dbt-dynamic`` as a user types it, in a test's project."""

from __future__ import annotations

import contextlib
import io
import json

from dbt.adapters.dynamic.cli.main import run
from tests.functional.project import LakeProject

# Nothing is kept for its age alone.
NOW = ("--snapshot-retention", "0s", "--file-retention", "0s")


def command(project: LakeProject, *arguments: str) -> int:
    """Run ``dbt-dynamic`` in the project; its standard output goes to `project.output`."""
    project.close()
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = run(
            [
                *arguments,
                "--project-dir",
                str(project.folder),
                "--profiles-dir",
                str(project.folder),
            ]
        )
    project.output = shown.getvalue()
    project.close()
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
