"""Drift: distances between distributions, and drift put into data on purpose."""
