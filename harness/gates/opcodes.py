"""What a pickle would import and call, read from its opcodes: nothing is loaded, so nothing runs.

A pickle is a program for a stack machine. `pickletools.genops` takes its instructions apart without carrying any out;
here the few that put names on the stack are followed, so that a ``STACK_GLOBAL`` is known by the two texts it takes.
What cannot be followed (a name that was computed) is told as such.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "(a name that is computed)"
STARTS: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
CALLS: Final = frozenset({"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "BUILD"})
REGISTERED: Final = frozenset({"EXT1", "EXT2", "EXT4"})
TEXTS: Final = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
                          "SHORT_BINSTRING"})  # fmt: skip
BESIDE: Final = frozenset({"PROTO", "FRAME"})


@dataclass(frozen=True, slots=True)
class Opened:
    """What a pickle imports and calls."""

    imports: tuple[str, ...]
    """``module.name``, in the order of their coming, each once."""
    calls: int
    """Instructions that call what was imported, or hand it its state."""
    whole: bool
    """It could be read to its end."""
    told: str = ""
    """Why not."""


def opened(data: bytes) -> Opened:
    """Take a pickle apart, and those that follow it in the same file.

    >>> import pickle
    >>> opened(pickle.dumps(range(3))).imports
    ('builtins.range',)
    """
    imports: dict[str, None] = {}
    calls, rest = 0, data
    while rest:
        at = 0
        try:
            for name, found, position in _walked(rest):
                at = position
                calls += found is None
                if found:
                    imports[found] = None
                if name == "STOP":
                    break
        except Exception as error:  # noqa: BLE001 - bytes of any kind may make it raise anything, and that is a finding
            return Opened(tuple(imports), calls, whole=False, told=f"{type(error).__name__}: {error}")
        rest = rest[at + 1 :]
        if rest and not rest.startswith(STARTS):
            return Opened(tuple(imports), calls, whole=False, told=f"{len(rest):,} bytes follow that are no pickle")
    return Opened(tuple(imports), calls, whole=True)


def _walked(data: bytes) -> Iterator[tuple[str, str | None, int]]:
    """Each instruction that imports (with the name), calls (None) or ends (an empty name), and its position."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    for code, argument, position in pickletools.genops(data):
        at, name = position or 0, code.name
        if name in TEXTS:
            texts.append(str(argument))
        elif name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else UNKNOWN  # numbered as the unpickler itself does
        elif name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[int(str(argument))] = texts[-1] if texts else UNKNOWN
        elif name in {"BINGET", "LONG_BINGET", "GET"}:
            texts.append(memo.get(int(str(argument)), UNKNOWN))
        elif name in {"GLOBAL", "INST"}:
            yield name, ".".join(str(argument).split(" ", 1)), at
            texts.append(UNKNOWN)
        elif name == "STACK_GLOBAL":
            yield name, _joined(texts), at
            texts.append(UNKNOWN)
        elif name in REGISTERED:
            yield name, f"copyreg extension {argument}", at
            texts.append(UNKNOWN)
        elif name == "STOP":
            yield name, "", at
        elif name not in BESIDE:
            # Anything else leaves something on the stack that is no plain text.
            texts.append(UNKNOWN)
        if name in CALLS:
            yield name, None, at


def _joined(texts: list[str]) -> str:
    module, name = texts[-2:] if len(texts) > 1 else [UNKNOWN, UNKNOWN]
    return UNKNOWN if UNKNOWN in (module, name) else f"{module}.{name}"
