"""From a qualified syntax tree to nodes: one module a part of SQL's grammar.

What has no place here raises NotIncremental with the construct and where it stands.
"""
