"""One refresh: state, decision, stages, retry. Uses lake/, query/, incremental/; none uses it."""
