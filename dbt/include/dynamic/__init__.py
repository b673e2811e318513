"""The macros of dbt-dynamic, as a dbt package."""

import os

PACKAGE_PATH = os.path.dirname(__file__)
