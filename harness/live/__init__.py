"""The live view: where a run stands while it goes on, folded from the same events as its report."""
