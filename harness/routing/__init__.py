"""The built-in router: a reverse proxy in a process of its own, which outlives a killed harness."""
