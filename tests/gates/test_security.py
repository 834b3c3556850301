"""What is found in model files, and that nothing in them runs while they are looked at."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.numpy_pickle import NumpyArrayWrapper
from sklearn.compose import make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from harness.domain.gates import Security
from harness.gates import security
from harness.gates.opcodes import UNKNOWN, opened
from harness.gates.scanning import Finding, scan
from tests.gates import adult

PLAN = Security()
TRUSTING = Security(pickles=True)


class Evil:
    """Runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])


def refused(data: bytes, plan: Security = PLAN) -> str:
    return "; ".join(f"{each.where}: {each.what}" for each in scan(data, "file", plan) if each.refused)


def archive(members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], Any] | None = None) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(info)
            made.writestr(info, data)
    return into.getvalue()


# --- pickles ----------------------------------------------------------------------------------------------------------

SQUEEZES: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("squeeze", SQUEEZES)
def test_a_malicious_pickle_is_named_and_does_not_run(tmp_path: Path, protocol: int, squeeze: str) -> None:
    ran = tmp_path / "ran"
    bomb = pickle.dumps(["harmless", Evil(f"touch {ran}")], protocol)
    file = tmp_path / "model.pkl"
    file.write_bytes(SQUEEZES[squeeze](bomb))
    for plan in (PLAN, TRUSTING):
        check = security.check(security.scan_file(file, plan))
        assert not check.passed
        assert f"imports {os.system.__module__}.system, which is not known to be harmless" in check.reason
    assert not ran.exists()
    pickle.loads(bomb)
    assert ran.exists(), "the pickle would have run, had anybody loaded it"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_model_of_scikit_learn_passes_only_where_pickles_may(protocol: int) -> None:
    data = pickle.dumps(fitted(), protocol)
    assert "a pickle, which runs what it holds" in refused(data)
    assert refused(data, TRUSTING) == ""
    assert any("harmless imports" in each.what for each in scan(data, "file", TRUSTING))


def test_a_function_of_ones_own_must_be_allowed_by_its_name() -> None:
    data = pickle.dumps(FunctionTransformer(os.path.basename))
    name = f"{os.path.basename.__module__}.basename"
    assert f"imports {name}" in refused(data, TRUSTING)
    assert refused(data, Security(pickles=True, allow=(name,))) == ""


HIDDEN = {
    "a name from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x30\x30h\x00h\x01\x93.",
    "a name that is computed": b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x8c\x05posix\x8c\x06system\x93.",
    "texts that are dropped again": b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x05numpy\x8c\x07ndarray00\x93.",
    "a text doubled": b"\x80\x04\x8c\x02os\x8c\x06system2\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "a memo that is numbered by its length": (
        b"\x80\x04\x8c\x05numpyr\x05\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94h\x01h\x02\x93."
    ),
}


@pytest.mark.parametrize("data", HIDDEN.values(), ids=HIDDEN)
def test_hidden_names_are_found_or_told_to_be_unknown(data: bytes) -> None:
    said = refused(data, TRUSTING)
    assert "os.system" in said or "posix.system" in said or UNKNOWN in said or "extension" in said
    assert "numpy.ndarray" not in said


def test_what_follows_a_pickle_is_looked_at_too() -> None:
    good = pickle.dumps(fitted())
    assert f"imports {os.system.__module__}.system" in refused(good + pickle.dumps(Evil("true")), TRUSTING)
    assert "cannot be read to its end" in refused(good + b"something else", TRUSTING)
    assert "cannot be read to its end" in refused(good[:-20], TRUSTING)


def test_arrays_that_joblib_writes_between_the_opcodes_are_not_known(tmp_path: Path) -> None:
    """Fails closed: raw bytes amid the program cannot be told from the program."""
    joblib.dump(fitted(), tmp_path / "model.joblib")
    assert "cannot be read to its end" in refused((tmp_path / "model.joblib").read_bytes(), TRUSTING)


def test_bytes_that_joblib_skips_hide_nothing(tmp_path: Path) -> None:
    """An array's bytes, read as an instruction, would swallow the instructions that the loader runs after them."""
    wrapper = NumpyArrayWrapper(np.ndarray, (5,), "C", np.dtype("uint8"), allow_mmap=False)
    wrapper.numpy_array_alignment_bytes = None
    ran = tmp_path / "ran"
    command = f"touch {ran}".encode()
    hidden = b"cos\nsystem\nX" + struct.pack("<I", len(command)) + command + b"\x85R."
    data = pickle.dumps(wrapper, protocol=3)[:-1] + b"B" + struct.pack("<I", len(hidden)) + hidden + b"."
    assert "imports joblib.numpy_pickle.NumpyArrayWrapper" in refused(data, TRUSTING)
    (tmp_path / "model.joblib").write_bytes(data)
    assert not ran.exists()
    joblib.load(tmp_path / "model.joblib")
    assert ran.exists()


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x80\x04", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"x\x9c"]),
)
def test_bytes_of_any_kind_are_refused_and_break_nothing(data: bytes, start: bytes) -> None:
    found = scan(start + data, "file", PLAN)
    assert any(each.refused for each in found)


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_plain_values_import_nothing(value: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = opened(pickle.dumps(value, protocol))
        assert found.whole
        assert set(found.imports) <= {"_codecs.encode", "builtins.bytes", "__builtin__.bytes"}


# --- archives ---------------------------------------------------------------------------------------------------------


def test_a_skops_file_of_scikit_learn_passes() -> None:
    assert refused(skops.io.dumps(fitted())) == ""
    (check,) = security.judge(PLAN, adult.scene(adult.plain()))
    assert check.passed
    assert check.value == 0


def test_types_that_skops_does_not_trust_are_named() -> None:
    data = skops.io.dumps(make_column_selector(pattern="x"))
    (unknown,) = skops.io.get_untrusted_types(data=data)
    assert f"holds {unknown}" in refused(data)
    assert refused(data, Security(allow=(unknown,))) == ""


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_paths_that_lead_out_are_refused(name: str) -> None:
    assert "leads out of the archive" in refused(archive({name: b"x", "schema.json": b"{}"}))


def test_a_bomb_is_not_unpacked() -> None:
    zeros = archive({"schema.json": b"{}", "0.npy": bytes(3_000_000)})
    assert "a bomb" in refused(zeros)
    assert "above the limit of 1,000" in refused(archive({"schema.json": os.urandom(1500)}), Security(max_bytes=1_000))
    assert "unpacks to 6,000,002 bytes" in refused(
        archive({"schema.json": b"{}", "0.npy": bytes(6_000_000)}), Security(max_bytes=1_000_000, max_ratio=1e9)
    )
    for name in ("gzip", "bz2", "xz", "zlib"):
        assert "a bomb" in refused(SQUEEZES[name](bytes(3_000_000))), name


def test_links_doubles_archives_pickles_and_objects_inside_are_refused() -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    schema = {"schema.json": b"{}"}
    assert "a symbolic link" in refused(archive(schema, link))
    assert "an archive inside" in refused(archive(schema | {"inner.zip": archive({"a": b"b"})}))
    assert "imports posix.system" in refused(archive(schema | {"data.pkl": pickle.dumps(Evil("true"))}), TRUSTING)
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    assert "an array of objects" in refused(archive(schema | {"0.npy": objects.getvalue()}))
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as made:
        made.writestr("schema.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("schema.json", json.dumps({"__class__": "x"}))
    assert "there twice" in refused(twice.getvalue())


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("{'descr': '|O8', 'fortran_order': False, 'shape': (1,), }\n", "an array of objects"),
        ("{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (1,), }\n", "an array of objects"),
        ("{" + " " * 5000 + "'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "header cannot be read"),
        ("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }\n", "header cannot be read"),
    ],
)
def test_arrays_of_objects_are_known_however_their_header_is_written(kind: str, told: str) -> None:
    header = kind.encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps([Evil("true")])
    assert told in refused(archive({"schema.json": b"{}", "0.npy": array}))


def test_members_hide_no_pickle_of_an_old_protocol_and_none_compressed() -> None:
    schema = {"schema.json": b"{}"}
    assert "imports posix.system" in refused(archive(schema | {"a": pickle.dumps(Evil("true"), 0)}), TRUSTING)
    assert "compressed by gzip" in refused(archive(schema | {"a": gzip.compress(pickle.dumps(1))}), TRUSTING)
    assert ".txt" not in refused(archive(schema | {"read.txt": b"city\nand more\n"}))


def test_overlapping_members_are_a_bomb() -> None:
    """Fifield's bomb (2019): many entries of the directory name one and the same body."""
    body = archive({"schema.json": os.urandom(4000)})
    directory = body.index(b"PK\x01\x02")
    end = body.index(b"PK\x05\x06")
    entry = body[directory:end]
    entries = b"".join(entry.replace(b"schema.json", f"schema{n:05}"[:11].encode()) for n in range(20))
    closing = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), directory, 0)
    assert "a bomb" in refused(body[:directory] + entries + closing)


def test_a_forged_schema_is_refused() -> None:
    assert "schema cannot be read" in refused(archive({"schema.json": b"not json"}))
    assert "no skops archive" in refused(archive({"other.txt": b"x"}))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.skops"
    file.write_bytes(bytes(2000))
    assert security.scan_file(file, Security(max_bytes=1000)) == (
        Finding("large.skops", "2,000 bytes, above the limit of 1,000", refused=True),
    )
