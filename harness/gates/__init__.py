"""Gates before deployment: regression, fairness, latency, size, robustness, security, model card, reports of others."""
