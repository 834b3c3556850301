"""Data sets: reading, holding against a schema, splitting into training rows and held-out rows."""
