"""What dbt does once in a process, done once for all that are forked from this one.

Nothing here starts a thread or opens a database: neither survives a fork.
"""

from __future__ import annotations

import sqlparse

import dbt.cli.main
import dbt.compilation
import dbt.task.run
from dbt.adapters.dynamic import impl
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.contracts.project import Configuration, PackageConfig, Project, ProjectFlags
from dbt.contracts.selection import SelectorFile

__all__ = ["dbt", "impl", "sqlparse"]

for kind in (
    Configuration,
    DynamicCredentials,
    PackageConfig,
    Project,
    ProjectFlags,
    SelectorFile,
):
    kind.json_schema()  # kept by the class
