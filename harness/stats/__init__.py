"""Statistics on arrays: histograms, quantiles, tests. Numbers in, numbers out."""
