"""Backends in memory that keep every promise of real ones: for rehearsals without a platform, and for users' own tests.

Each passes the checks of `harness.contracts`. Nothing in `harness` imports this package: it arrives by the entry point
group ``harness.backends``, as anybody's backend does.
"""
