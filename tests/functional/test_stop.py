"""Ctrl-C and SIGTERM end a run at once, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.project import LakeProject

ENDLESS = (
    "SELECT count(*) AS n FROM {{ source('raw', 'events') }} AS a, range(1_000_000_000_000) AS b"
)


@pytest.mark.parametrize(
    ("stop", "code"), [(signal.SIGINT, 2), (signal.SIGTERM, -signal.SIGTERM)], ids=["int", "term"]
)
def test_stop(project: LakeProject, stop: signal.Signals, code: int) -> None:
    project.source("events", "SELECT i AS id FROM range(10) r(i)")
    project.model("first", "SELECT count(*) AS n FROM {{ source('raw', 'events') }}")
    project.model("second", "SELECT n FROM {{ ref('first') }}")
    project.model("third", f"{ENDLESS} WHERE 1 < (SELECT n FROM {{{{ ref('second') }}}})")
    project.close()
    dbt = subprocess.Popen(
        [sys.executable, "-m", "dbt.cli.main", "run", "--no-use-colors"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Where the tests run in the background, a shell has set it to be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert dbt.stdout is not None
    shown = []
    for line in dbt.stdout:
        shown.append(line)
        if "START sql dynamic_table model main.third" in line:
            break
    dbt.send_signal(stop)
    try:
        rest, _ = dbt.communicate(timeout=60)
    finally:
        dbt.kill()
    assert dbt.returncode == code, "".join(shown) + rest
    project.check()
    project.model("third", "SELECT count(*) AS n FROM {{ source('raw', 'events') }}")
    responses = project.run()
    assert responses["first"]["refresh_action"] == "NO_DATA"
    assert responses["third"]["reason_code"] == "FIRST_BUILD"
