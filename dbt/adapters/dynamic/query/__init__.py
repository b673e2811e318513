"""SQL in: the dialect, views inlined, names qualified, what a query reads. Opens no connection."""
