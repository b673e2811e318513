"""Upkeep of a lake beside somebody else's."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.lake.upkeep import LakeUpkeep
from tests.unit.lab import Lake

_LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)
_GONE = "Cannot open file: No such file or directory"  # what a soak's maintenance met


@pytest.mark.parametrize(("message", "tries"), [(_GONE, 2), ("Permission denied", 1)])
def test_a_file_that_somebody_else_deletes_meanwhile(lake: Lake, message: str, tries: int) -> None:
    lake.run("CREATE TABLE t AS FROM range(1000)", "DROP TABLE t")
    lake.rows("CALL ducklake_expire_snapshots('lake', older_than => now() + INTERVAL 1 DAY)")
    asked: list[str] = []

    def rows(sql: str) -> list[tuple[Any, ...]]:
        asked.append(sql)
        if len(asked) == 1:
            raise DbtRuntimeError(message)
        return lake.rows(sql)

    upkeep = LakeUpkeep(rows, lake.aside, lake.catalog)
    if tries == 1:
        with pytest.raises(DbtRuntimeError, match=message):
            upkeep.clean_up(_LATER, dry_run=False)
    else:
        assert len(upkeep.clean_up(_LATER, dry_run=False)) == 1
    assert len(asked) == tries
