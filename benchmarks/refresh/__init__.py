"""How long refreshes take, beside a rebuild, a hand-written incremental model, and the floor.

One line a module: `lake` has the data, `changes` what happens to it, `workloads` the models and
`floors` the SQL that one would write by hand, `project` all of it (`models` is dbt's part),
`measure` runs it in turns, `figures` compares what came out with what is to be reached, `page` and
`charts` show it. `memory` is apart: how much of it a large refresh needs.
"""
