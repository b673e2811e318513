"""``dbt-dynamic report``: one page about all dynamic tables, from what the lakes record."""
