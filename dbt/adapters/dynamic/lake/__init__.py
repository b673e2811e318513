"""What DuckLake knows: extensions, snapshots, table identity, changes. Reads metadata only."""
