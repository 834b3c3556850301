"""The simulator in two planes: compiled requests (`plane`, `kernels`) below simulated events (`cluster`)."""
