"""How long refreshes take, beside a rebuild, a hand-written incremental model, and the floor.

One line a module: `lake` has the data, `changes` what happens to it, `workloads` the models and
the SQL that one would write by hand, `measure` runs them in turns, `page` shows the figures.
"""
