#!/usr/bin/env python
"""Package metadata of dbt-dynamic: dynamic tables for dbt on DuckDB and DuckLake."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^version = "(?P<version>[^"]+)"',
    (HERE / "dbt/adapters/dynamic/__version__.py").read_text(),
    re.MULTILINE,
)
assert VERSION is not None

setup(
    name="dbt-dynamic",
    version=VERSION["version"],
    description="Dynamic tables for dbt on DuckLake: declare a query, every run keeps it exact.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="dbt-dynamic maintainers",
    packages=find_namespace_packages(include=["dbt.adapters.dynamic*", "dbt.include.dynamic*"]),
    include_package_data=True,
    python_requires=">=3.10",
    install_requires=[
        "Jinja2>=3.1,<4",
        "MarkupSafe>=2,<4",
        "agate>=1.0,<2",
        "click>=8.1,<9",
        "dbt-adapters>=1.16,<2",
        "dbt-common>=1.27,<2",
        "dbt-core>=1.10,<2",
        "dbt-duckdb>=1.10,<2",
        "duckdb>=1.5.0,<2",
        "rich>=13,<16",
        "sqlglot>=30,<31",
    ],
    extras_require={
        # DuckDB extensions as wheels, for machines that cannot INSTALL; each needs exactly
        # the duckdb version whose number it carries.
        "bundled": [
            "duckdb-extension-ducklake>=1.5.0,<2",
            "duckdb-extension-postgres-scanner>=1.5.0,<2",
            "duckdb-extension-sqlite-scanner>=1.5.0,<2",
        ],
        "docs": ["mkdocs-material>=9.6,<10"],
        "dev": [
            "dbt-tests-adapter>=1.15,<2",
            "duckdb-extension-tpch>=1.5.0,<2",
            "hypothesis>=6.100,<7",
            "matplotlib>=3.9,<4",
            "mypy>=1.15,<2",
            "pytest>=8,<10",
            "pytest-xdist>=3,<4",
            "ruff>=0.12,<1",
            "types-PyYAML",
        ],
    },
    entry_points={"console_scripts": ["dbt-dynamic=dbt.adapters.dynamic.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
    ],
)
