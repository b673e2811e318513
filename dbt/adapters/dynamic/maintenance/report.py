"""What maintenance keeps for how long, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dbt.adapters.dynamic.config import seconds
from dbt.adapters.dynamic.errors import ConfigurationError

# By the profile's key and the command's option.
RETENTIONS = {
    "history_retention": "30 days",
    "snapshot_retention": "7 days",
    "file_retention": "1 day",
}
# A moment so long ago must exist.
_LONGEST = timedelta(days=36500)


def duration(key: str, value: object) -> timedelta:
    """The value of a retention.

    Raises:
        ConfigurationError: it is no duration.

    >>> duration("history_retention", "30 days")
    datetime.timedelta(days=30)
    """
    found = seconds(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(
            f"{key} is {value!r}; accepted: a duration such as '30 days' or '12 hours'."
        )
    if found > _LONGEST.total_seconds():
        raise ConfigurationError(
            f"{key} is {value!r}; the longest that is accepted is {_LONGEST.days} days."
        )
    return timedelta(seconds=found)


@dataclass(frozen=True)
class Retention:
    """What to keep for how long.

    Attributes:
        history: rows of the refresh history.
        snapshots: snapshots that no dynamic table needs.
        files: files that no snapshot names.
    """

    history: timedelta
    snapshots: timedelta
    files: timedelta


@dataclass(frozen=True)
class Step:
    """One thing that was done, or would be.

    Attributes:
        lake: the lake.
        action: flush, merge, rewrite, wait, renew, forget, expire, keep, clean up, skip, fail.
        subject: what it was done to.
        detail: how much, or why not.
    """

    lake: str
    action: str
    subject: str
    detail: str

    @property
    def failed(self) -> bool:
        """Whether it could not be done, for a reason that does not pass by itself."""
        return self.action == "fail"

    def said(self, dry_run: bool) -> str:
        """One line for the terminal."""
        idle = ("wait", "keep", "skip", "fail")
        would = "would " if dry_run and self.action not in idle else ""
        return f"{self.lake}: {would}{self.action} {self.subject}: {self.detail}"
