"""One module a row of the table in design.md §4: how changes pass through each kind of node."""
