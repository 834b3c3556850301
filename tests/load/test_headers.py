"""Headers: what is sent, what is refused, and that no error shows a value."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.load.headers import REFUSED, headers_of

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789ABCabc", min_size=1)
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="$"))


@given(TOKEN.filter(lambda name: name.lower() not in REFUSED), VISIBLE)
def test_a_header_is_sent_as_it_is_given(name: str, value: str) -> None:
    assert headers_of([f"{name}: {value}"], variables={}) == ((name, value.strip()),)


@given(st.lists(st.text(max_size=30), max_size=3), st.dictionaries(st.sampled_from("AB"), st.text(max_size=9)))
def test_what_is_sent_never_breaks_a_line(given_headers: list[str], variables: dict[str, str]) -> None:
    try:
        found = headers_of([*given_headers, "X-A: ${A}"], "B", variables=variables)
    except InputError:
        return
    for name, value in found:
        assert name
        assert (name + value).isascii()
        assert (name + value).isprintable() or "\t" in value


@pytest.mark.parametrize(
    ("given_header", "told"),
    [
        ("no colon s3cret", "a header is 'NAME: VALUE', with a colon"),
        ("X-Key : s3cret", "has a space before its colon; write X-Key: VALUE"),
        ("X Key: s3cret", "'X Key' cannot be a header's name"),
        (": s3cret", "'' cannot be a header's name"),
        ("X-Key: s3cret\r\nX-Other: 1", "the value of the header X-Key holds a line break"),
        ("X-Key: s3cretä", "the value of the header X-Key holds a line break, a control character or a letter beyond"),
        ("X-Key: ${s3cret", r"a \$\{ that is never closed"),
        ("X-Key: ${s3-cret}", r"the header X-Key takes the name of a variable"),
        ("X-Key: ${TOKNE}", r"the header X-Key asks for the variable TOKNE, which is not set; did you mean TOKEN\?"),
        ("X-Key: ${EMPTY}", "asks for the variable EMPTY, which is empty"),
        ("X-Key: ${LINES}", "the value of the header X-Key holds a line break"),
        ("Content-Length: 5", "Content-Length cannot be set: the client counts the body itself; leave it out"),
        ("host: example.org", "host cannot be set: it is the host of the URL"),
        ("Transfer-Encoding: chunked", "cannot be set: bodies are sent whole"),
        ("Connection: close", "cannot be set: the client says itself"),
    ],
)
def test_a_wrong_header_is_told_without_its_value(given_header: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        headers_of([given_header], variables={"TOKEN": "s3cret", "EMPTY": " ", "LINES": "s3cret\n"[:-1] + "\nx"})
    assert "s3cret" not in str(caught.value)


def test_variables_fill_values_once() -> None:
    variables = {"ONE": "1", "TWO": "${ONE}"}
    assert headers_of(["A: x${ONE}y${TWO}", "B: $${ONE} $ONE"], variables=variables) == (
        ("A", "x1y${ONE}"),
        ("B", "${ONE} $ONE"),
    )


def test_a_header_is_given_once() -> None:
    with pytest.raises(InputError, match="the header x-a is given twice"):
        headers_of(["X-A: 1", "x-a: 2"])
    with pytest.raises(InputError, match=r"Authorization is given twice \(a token makes one\)"):
        headers_of(["authorization: Basic abc"], "TOKEN", variables={"TOKEN": "t"})


def test_a_token_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc.def-1=\n")
    assert headers_of([], token_file=str(path)) == (("Authorization", "Bearer abc.def-1="),)
    assert headers_of([], "T", variables={"T": "abc\n"}) == (("Authorization", "Bearer abc"),)
    with pytest.raises(InputError, match="from --token-env or from --token-file"):
        headers_of([], "T", str(path), {"T": "abc"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the token cannot be read: No such file"),
        (b"", "the file is empty; it must hold the token"),
        (b"Bearer s3cret", "holds no token: a token is one line of visible ASCII"),
        (b"s3cret\ns3cret", "holds no token"),
        (b"s3cret\xff", "holds no token"),
        (b"x" * 70_000, "more than 64 KiB"),
    ],
)
def test_a_wrong_token_file_is_told_without_what_it_holds(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        headers_of([], token_file=str(path))
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_variable_is_told_without_a_value() -> None:
    with pytest.raises(InputError, match="--token-env asks for the variable TOKEN, which is not set: export TOKEN=…"):
        headers_of([], "TOKEN", variables={})
    with pytest.raises(InputError, match="--token-env takes the name of a variable") as caught:
        headers_of([], "sk-s3cret", variables={})
    assert "s3cret" not in str(caught.value)
