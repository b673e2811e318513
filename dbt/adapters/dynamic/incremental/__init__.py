"""The compiler: a qualified query and its sources' changes in, statements out (design.md §4)."""
