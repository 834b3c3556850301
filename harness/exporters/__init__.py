"""Exporters: what a scenario says, as other systems read it."""
