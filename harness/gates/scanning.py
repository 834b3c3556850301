"""What a model file holds, found without loading it: archives are listed, pickles are taken apart, nothing is run."""

import bz2
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from harness.domain.gates import Security
from harness.gates.opcodes import STARTS, opened

ZIP: Final = b"PK\x03\x04"
COMPRESSED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"),
    (b"]\x00\x00", "lzma"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x5e", "zlib"),
    (b"\x78\x9c", "zlib"),
    (b"\x78\xda", "zlib"),
)
SCHEMA: Final = "schema.json"
ARRAY: Final = b"\x93NUMPY"
HEADER: Final = 4096
HARMLESS: Final = frozenset(
    {
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.range",
        "builtins.set",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "collections.OrderedDict",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy.dtype",
        "numpy.ndarray",
    }
)
"""What a pickled model may import beside scikit-learn's own estimators; by full names, for a module that holds one
harmless function may hold another that runs what it is given. joblib's wrapper of arrays is not among them: its loader
skips bytes that are read as instructions here, and so runs what was never looked at."""

RENAMED: Final = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules by their names of Python 2, which old protocols still write."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a file that a reader should know."""

    where: str
    """The file, or the member of an archive."""
    what: str
    refused: bool
    """It must not be there; else it is a note."""


def scan(data: bytes, name: str, plan: Security) -> tuple[Finding, ...]:
    """All that is found in the bytes of a model file; what is of no known kind is refused.

    Args:
        data: of the file.
        name: what it is called.
        plan: what is allowed, and the limits.
    """
    if len(data) > plan.max_bytes:
        return (Finding(name, f"{len(data):,} bytes, above the limit of {plan.max_bytes:,}", refused=True),)
    if data.startswith(ZIP):
        return tuple(_archive(data, name, plan))
    if kind := next((word for magic, word in COMPRESSED if data.startswith(magic)), ""):
        return tuple(_compressed(data, kind, name, plan))
    return tuple(_pickle(data, name, plan))


# --- pickles ----------------------------------------------------------------------------------------------------------


def _pickle(data: bytes, name: str, plan: Security) -> Iterator[Finding]:
    found = opened(data)
    if not found.imports and not found.whole and not data.startswith(STARTS):
        yield Finding(name, "neither a skops archive nor a pickle: of no kind that is known", refused=True)
        return
    if not plan.pickles:
        yield Finding(name, "a pickle, which runs what it holds when it is loaded; save with skops", refused=True)
    unknown = [each for each in found.imports if not trusted(each, plan)]
    for each in unknown:
        yield Finding(name, f"imports {each}, which is not known to be harmless", refused=True)
    if not found.whole:
        yield Finding(name, f"cannot be read to its end, so what it does is not known ({found.told})", refused=True)
    if known := len(found.imports) - len(unknown):
        yield Finding(name, f"{known} harmless imports, {found.calls} calls; it was not loaded", refused=False)


def trusted(name: str, plan: Security) -> bool:
    """Whether a type or function is known to be harmless, or allowed by the plan."""
    module, _, rest = name.partition(".")
    name = f"{RENAMED.get(module, module)}.{rest}"
    return name in HARMLESS or name in plan.allow or name in known_types()


@cache
def known_types() -> frozenset[str]:
    """The types that skops itself trusts (scikit-learn's estimators, numpy's and scipy's types), and ours beside them.

    Functions of numpy and scipy that skops knows are not among them: they are loaded otherwise there.
    """
    from skops.io import _trusted_types as of_skops

    from harness.training.artifact import TRUSTED

    internal = getattr(of_skops, "SKLEARN_INTERNAL_TYPE_NAMES", ())  # of newer versions
    return frozenset((*of_skops.SKLEARN_ESTIMATOR_TYPE_NAMES, *of_skops.NUMPY_DTYPE_TYPE_NAMES, *internal, *TRUSTED))


# --- compressed files -------------------------------------------------------------------------------------------------


def _compressed(data: bytes, kind: str, name: str, plan: Security) -> Iterator[Finding]:
    """A compressed pickle, as joblib writes them, unpacked no farther than the limits."""
    limit = min(plan.max_bytes, int(len(data) * plan.max_ratio))
    try:
        unpacked = _unpacked(data, kind, limit + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        yield Finding(name, f"damaged: {type(error).__name__}: {error}", refused=True)
        return
    if len(unpacked) > limit:
        yield Finding(name, f"{len(data):,} bytes unpack to more than {limit:,}: a bomb", refused=True)
        return
    yield from _pickle(unpacked, f"{name} ({kind})", plan)


def _unpacked(data: bytes, kind: str, most: int) -> bytes:
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "zlib": zlib.decompressobj,
        "bz2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
        "lzma": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_ALONE),
    }
    return bytes(makers[kind]().decompress(data, most))


# --- archives ---------------------------------------------------------------------------------------------------------


def _archive(data: bytes, name: str, plan: Security) -> Iterator[Finding]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            bad = [each for info in archive.infolist() for each in _member(info, plan)]
            bad += _whole(archive, data, name, plan)
            yield from bad
            if bad:  # nothing is unpacked of an archive that is not what it should be
                return
            yield from _inside(archive, plan)
            if SCHEMA not in archive.namelist():
                yield Finding(name, f"no skops archive: it has no {SCHEMA}", refused=True)
                return
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        yield Finding(name, f"damaged: {type(error).__name__}: {error}", refused=True)
        return
    yield from _types(data, name, plan)


def _member(info: zipfile.ZipInfo, plan: Security) -> Iterator[Finding]:
    path = info.filename.replace("\\", "/")
    if path.startswith("/") or ":" in path or ".." in path.split("/"):
        yield Finding(info.filename, "its path leads out of the archive's folder", refused=True)
    if stat.S_ISLNK(info.external_attr >> 16):
        yield Finding(info.filename, "a symbolic link", refused=True)
    if info.flag_bits & 1:
        yield Finding(info.filename, "encrypted, so what it holds is not known", refused=True)
    if info.file_size > plan.max_ratio * max(info.compress_size, 1):
        yield Finding(info.filename, f"{info.compress_size:,} bytes unpack to {info.file_size:,}: a bomb", refused=True)


def _whole(archive: zipfile.ZipFile, data: bytes, name: str, plan: Security) -> Iterator[Finding]:
    members = archive.infolist()
    total = sum(info.file_size for info in members)
    if total > plan.max_bytes:
        yield Finding(name, f"unpacks to {total:,} bytes, above the limit of {plan.max_bytes:,}", refused=True)
    if sum(info.compress_size for info in members) > len(data):
        yield Finding(name, "its members overlap: a bomb", refused=True)
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        yield Finding(name, "a member is there twice: readers differ in which they take", refused=True)


def _inside(archive: zipfile.ZipFile, plan: Security) -> Iterator[Finding]:
    """Members that are programs themselves: pickles, arrays of objects (which are pickled), archives."""
    for info in archive.infolist():
        if info.is_dir():
            continue
        with archive.open(info) as member:
            head = member.read(HEADER)
            if head.startswith(ARRAY):
                if said := _wrong_array(head):
                    yield Finding(info.filename, said, refused=True)
            elif head.startswith(ZIP):
                yield Finding(info.filename, "an archive inside of the archive", refused=True)
            elif info.filename != SCHEMA:
                yield from _hidden(head + member.read(), head, info.filename, plan)


def _hidden(data: bytes, head: bytes, name: str, plan: Security) -> Iterator[Finding]:
    """What a member holds if it is a pickle of any protocol, compressed or not; nothing if it is none."""
    if kind := next((word for magic, word in COMPRESSED if head.startswith(magic)), ""):
        yield Finding(name, f"compressed by {kind}, which no member of a skops archive is", refused=True)
        return
    found = opened(data)
    if head.startswith(STARTS) or (found.imports and found.whole):
        yield from _pickle(data, name, plan)


def _wrong_array(head: bytes) -> str:
    """What must not be of a saved array, by its header as numpy reads it; empty where nothing is."""
    from numpy.lib import format as saved

    try:
        version = saved.read_magic(told := io.BytesIO(head))
        read = saved.read_array_header_1_0 if version == (1, 0) else saved.read_array_header_2_0
        _, _, kind = read(told)
    except Exception as error:  # noqa: BLE001 - a forged header may make it raise anything, and that is a finding
        return f"an array whose header cannot be read ({type(error).__name__}: {error})"
    return "an array of objects, which is a pickle" if kind.hasobject else ""


def _types(data: bytes, name: str, plan: Security) -> Iterator[Finding]:
    """Types that skops does not trust, and we do not either."""
    import skops.io

    try:
        named = skops.io.get_untrusted_types(data=data)
    except Exception as error:  # noqa: BLE001 - a forged schema may make it raise anything, and that is a finding
        yield Finding(name, f"its schema cannot be read ({type(error).__name__}: {error})", refused=True)
        return
    for each in sorted(named):
        if not trusted(each, plan):
            yield Finding(name, f"holds {each}, which is not known to be harmless", refused=True)
    allowed = [each for each in sorted(named) if trusted(each, plan)]
    if allowed:
        yield Finding(
            name, f"holds types that are trusted here beside skops's own: {', '.join(allowed)}", refused=False
        )
