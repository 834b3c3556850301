"""Feature sets: what models see of a table, fitted on training rows only, kept with the model, versioned by content."""
