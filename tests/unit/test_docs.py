"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from dbt.adapters.dynamic.query.reasons import Reason

ROOT = Path(__file__).parents[2]


def test_every_reason_code_is_documented_once() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/reason-codes.md").read_text(), re.M)
    assert sorted(listed) == sorted(reason.value for reason in Reason)


def test_changelog_has_the_version() -> None:
    from dbt.adapters.dynamic.__version__ import version

    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
