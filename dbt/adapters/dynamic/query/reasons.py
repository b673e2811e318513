"""Reason codes: why a refresh did what it did. Names are stable (interface.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(str, Enum):
    """One code for each cause; ``docs/reason-codes.md`` gives cause and remedy of each."""

    # Whole builds that were asked for, or that nothing else could replace.
    FIRST_BUILD = "FIRST_BUILD"
    FULL_REFRESH_FLAG = "FULL_REFRESH_FLAG"
    REFRESH_MODE_FULL = "REFRESH_MODE_FULL"
    EMPTY_FLAG = "EMPTY_FLAG"
    # What was recorded about the table no longer holds.
    DEFINITION_CHANGED = "DEFINITION_CHANGED"
    CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
    STATE_STALE = "STATE_STALE"
    TARGET_MODIFIED = "TARGET_MODIFIED"
    SELF_CHECK_FAILED = "SELF_CHECK_FAILED"
    MERGE_FAILED = "MERGE_FAILED"
    # What happened to a source.
    NO_CHANGES = "NO_CHANGES"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    SOURCE_REPLACED = "SOURCE_REPLACED"
    SOURCE_SCHEMA_CHANGED = "SOURCE_SCHEMA_CHANGED"
    SNAPSHOT_EXPIRED = "SNAPSHOT_EXPIRED"
    CHANGE_TRACKING_NONE = "CHANGE_TRACKING_NONE"
    # The decision.
    OVER_THRESHOLD = "OVER_THRESHOLD"
    CHEAPER_FULL = "CHEAPER_FULL"
    # The query.
    VOLATILE_FUNCTION = "VOLATILE_FUNCTION"
    TIME_DEPENDENT = "TIME_DEPENDENT"
    USER_MACRO = "USER_MACRO"
    LIMIT_UNSUPPORTED = "LIMIT_UNSUPPORTED"
    RECURSIVE_CTE = "RECURSIVE_CTE"
    WINDOW_WITHOUT_PARTITION = "WINDOW_WITHOUT_PARTITION"
    NONDETERMINISTIC = "NONDETERMINISTIC"
    UNPARSED_SQL = "UNPARSED_SQL"
    UNSUPPORTED_QUERY = "UNSUPPORTED_QUERY"
    KEYS_NOT_IN_OUTPUT = "KEYS_NOT_IN_OUTPUT"
    KEY_TYPE_UNSUPPORTED = "KEY_TYPE_UNSUPPORTED"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Explained:
    """A reason code with its sentence."""

    code: Reason
    text: str


class NotIncremental(Exception):
    """The query, or this change to it, has no incremental rule: refresh in full.

    Attributes:
        reason: the code and the sentence, with the construct and its place in the SQL.
    """

    def __init__(self, code: Reason, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.reason = Explained(code, text)
