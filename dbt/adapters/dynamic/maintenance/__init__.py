"""Lake maintenance that respects the pins of dynamic tables (design.md §6.13)."""
