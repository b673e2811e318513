"""One module a kind of node: its versions, and its delta from its inputs' deltas (design.md §4).

A delta is a relation with the node's columns and a weight: new = old + delta as bags, exactly.
So a row that only an old version holds has a negative weight, one that only the new version holds
a positive one; rows may stand in a delta several times, also with weights that cancel out.
"""
