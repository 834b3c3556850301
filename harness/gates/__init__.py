"""Gates of ML CI: what a candidate must show before any of it is deployed.

Each gate is a pure check from a model, rows and settings to values (`harness.domain.gates`): one file per gate, and
`stage.py` that judges all that a scenario asks for. `promotion.py` asks five of them of a version in a registry.
"""

from harness.gates.stage import Gates

__all__ = ["Gates"]
