"""XXH32, by its specification (xxHash fast digest algorithm, Collet, version 0.1.1): HAProxy's converter ``xxh32``."""

from typing import Final

P1, P2, P3, P4, P5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
MASK: Final = 2**32 - 1


def xxh32(data: bytes, seed: int = 0) -> int:
    """The digest, from 0 to 2**32 - 1.

    >>> hex(xxh32(b"")), hex(xxh32(b"a")), hex(xxh32(b"Nobody inspects the spammish repetition"))
    ('0x2cc5d05', '0x550d7456', '0xe2293b2f')
    """
    words = [int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data) // 4 * 4, 4)]
    stripes = len(data) // 16 * 4
    digest = (seed + P5) & MASK
    if stripes:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        for place, word in enumerate(words[:stripes]):
            lanes[place % 4] = _turned(lanes[place % 4] + word * P2, 13) * P1 & MASK
        digest = sum(_turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
    digest = (digest + len(data)) & MASK
    for word in words[stripes:]:
        digest = _turned(digest + word * P3, 17) * P4 & MASK
    for byte in data[len(words) * 4 :]:
        digest = _turned(digest + byte * P5, 11) * P1 & MASK
    digest = (digest ^ digest >> 15) * P2 & MASK
    digest = (digest ^ digest >> 13) * P3 & MASK
    return digest ^ digest >> 16


def _turned(word: int, by: int) -> int:
    word &= MASK
    return (word << by | word >> 32 - by) & MASK
