"""Judging a rollout: rules and the figures they speak of."""
