"""``python -m dbt.adapters.dynamic``."""

from dbt.adapters.dynamic.cli.main import main

if __name__ == "__main__":
    main()
