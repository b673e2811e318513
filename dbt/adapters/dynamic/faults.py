"""Places at which the tests kill a process; nothing happens unless DBT_DYNAMIC_FAULT names one."""

from __future__ import annotations

import os
import signal

_VARIABLE = "DBT_DYNAMIC_FAULT"


def fault_point(name: str) -> None:
    """Die here, as by kill -9, if the environment variable says so.

    Args:
        name: ``after_plan``, ``after_<stage>``, ``before_commit`` or ``after_commit``.
    """
    if os.environ.get(_VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
