"""Named streams of a seed: a new consumer leaves every other stream as it was.

A stream is keyed by the SHA-256 of the seed and the stream's name (never by ``hash()``, which changes from process to
process). Draws are addressed by a counter, so that they do not depend on how many were made before.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Stream:
    """An endless supply of random numbers with a name."""

    name: str
    key: int
    """128 bits."""

    @property
    def key64(self) -> int:
        """The low 64 bits, for compiled kernels that hash (key, request number)."""
        return self.key & (2**64 - 1)

    def child(self, name: str) -> "Stream":
        """A stream of its own below this one."""
        return _stream(f"{self.key:032x}/{name}", f"{self.name}/{name}")

    def generator(self, counter: int = 0) -> "np.random.Generator":
        """A numpy generator at the given place of the stream (Philox 4x64; Salmon et al. 2011).

        Generators at different counters are independent of each other.
        """
        import numpy as np

        return np.random.Generator(np.random.Philox(key=self.key, counter=[0, 0, 0, counter]))

    def integer(self) -> int:
        """A 31-bit number for libraries that take a ``random_state``."""
        return self.key & (2**31 - 1)


def stream(seed: int, name: str) -> Stream:
    """The stream of that name.

    >>> stream(7, "arrivals") == stream(7, "arrivals"), stream(7, "arrivals").key == stream(8, "arrivals").key
    (True, False)
    """
    return _stream(f"{seed}/{name}", name)


def _stream(text: str, name: str) -> Stream:
    digest = hashlib.sha256(text.encode()).digest()
    return Stream(name, int.from_bytes(digest[:16], "little"))
