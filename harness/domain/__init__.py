"""The nouns of the field as frozen values; nothing here acts, waits or reads a file."""
