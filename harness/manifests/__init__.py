"""Manifests of Kubernetes for a model and its rollout, as plain values: no file is written here and no server asked."""
