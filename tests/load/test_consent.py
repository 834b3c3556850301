"""Consent: whom a load test may ask without a word, whom with one, and which URLs it can ask at all."""

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.load.consent import Place, check_target, check_url, is_loopback, matches, shown

NAMES = {
    "localhost": ("127.0.0.1", "::1"),
    "both.example": ("127.0.0.1", "192.0.2.7"),
    "model.example.org": ("192.0.2.1",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "scoped.example": ("fe80::1%eth0",),
}


def resolve(host: str) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return NAMES.get(host, ())


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "mapped.example", "LOCALHOST", "localhost."]
)
def test_this_machine_may_be_asked(host: str) -> None:
    assert check_target(f"http://{host}:8080/predict", resolve=resolve) is True


@pytest.mark.parametrize(
    "host", ["both.example", "model.example.org", "192.0.2.1", "0.0.0.0", "[::]", "[2001:db8::1]", "scoped.example"]
)
def test_any_other_needs_consent(host: str) -> None:
    url = f"http://{host}:8080/predict?key=s3cret"
    with pytest.raises(InputError, match=r"is not on this machine.*--yes.*allow_targets = \[") as caught:
        check_target(url, ["other.example"], resolve=resolve)
    assert "s3cret" not in str(caught.value)
    assert check_target(url, yes=True, resolve=resolve) is False
    remedy = str(caught.value).split('allow_targets = ["')[1].split('"]')[0]
    assert check_target(url, [remedy], resolve=resolve) is False


def test_localhost_is_resolved_for_real() -> None:
    assert is_loopback("localhost")
    assert is_loopback("127.1")
    assert not is_loopback("no-such-host.invalid")


def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(InputError, match=r"no address is known of nowhere\.example"):
        check_target("http://nowhere.example/", resolve=resolve)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "fits"),
    [
        ("model.example.org", "model.example.org", 80, True),
        ("MODEL.example.org.", "model.example.org", 443, True),
        ("model.example.org:443", "model.example.org", 443, True),
        ("model.example.org:443", "model.example.org", 80, False),
        ("*.example.org", "model.example.org", 80, True),
        ("*.example.org", "a.b.example.org", 80, True),
        ("*.example.org", "example.org", 80, False),
        ("*.example.org", "badexample.org", 80, False),
        ("*.example.org:8443", "a.example.org", 443, False),
        ("[2001:DB8::1]", "2001:db8::1", 80, True),
        ("[2001:db8:0::1]:80", "2001:db8::1", 80, True),
        ("192.0.2.1", "192.0.2.10", 80, False),
    ],
)
def test_patterns(pattern: str, host: str, port: int, fits: bool) -> None:
    assert matches(pattern, Place(host, port)) is fits


@pytest.mark.parametrize(
    "pattern", ["", "*", "http://a.example", "a.*.example", "a.example:0", "a.example:99999", "a b", "user@a"]
)
def test_a_wrong_pattern_is_told(pattern: str) -> None:
    with pytest.raises(InputError, match="an entry is HOST, HOST:PORT"):
        check_target("http://localhost", [pattern], resolve=resolve)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8080", "its scheme is localhost|it has no scheme"),
        ("ftp://localhost", "its scheme is ftp; a target is http"),
        ("http://", "there is no host in it"),
        ("http:///predict", "there is no host in it"),
        ("http://ann:s3cret@localhost", "holds a user or a password.*--header.*--token-env"),
        ("http://ann@localhost", "holds a user or a password"),
        ("http://localhost/#top", "a fragment"),
        ("http://localhost#", "a fragment"),
        ("http://localhost:0/", "the port is missing or 0"),
        ("http://localhost:/", "the port is missing or 0"),
        ("http://localhost:99999/", "not a URL: Port out of range"),
        ("http://localhost:x/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("http://[abc]/", "not a URL|no IPv6 address"),
        ("http://local host/", "cannot hold ' '; write %20"),
        ("http://localhost/a\nb", r"cannot hold '\\n'; write %0A"),
        ("http://localhost/ä", "cannot hold 'ä'; write %C3%A4"),
        ("http://münchen.example/", "of a host: its ASCII form"),
        ("http://a\\b/", "cannot hold"),
        ("http://-a-/", "cannot be a host"),
        ("http://a..b/", "cannot be a host"),
        ("http://localhost/" + "a" * 9000, "at most 8192 characters"),
    ],
)
def test_a_wrong_url_is_told_without_its_secrets(url: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://LocalHost/x?y=1", "localhost:80"),
        ("https://a_b.example", "a_b.example:443"),
        ("http://[::0001]:8080", "[::1]:8080"),
        ("http://127.0.0.1:1/%20", "127.0.0.1:1"),
    ],
)
def test_the_server_of_a_url(url: str, place: str) -> None:
    assert str(check_url(url)) == place


def test_what_is_shown() -> None:
    assert shown("https://ann:pw@Example.org:8443/a/b?key=1#x") == "https://example.org:8443/a/b"
    assert shown("http://[::1]:80/") == "http://[::1]:80/"
    assert shown("nonsense") == shown("http://[") == "(not a URL)"


PARTS = st.text("abz09._-:/@?#[]%&=ä \n\\*", max_size=20)


@given(st.text(max_size=40) | PARTS | PARTS.map("http://{}".format))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    assert shown(text).isascii()
    try:
        place = check_url(text)
    except InputError:
        return
    parts = urlsplit(text)
    assert (parts.username, parts.password, parts.fragment) == (None, None, "")
    assert 0 < place.port < 65536
    assert shown(text) == text.partition("?")[0].replace(parts.netloc, parts.netloc.lower(), 1)
    assert matches(str(place), place)


@given(st.text(max_size=20) | PARTS)
def test_any_pattern_fits_or_is_refused(text: str) -> None:
    try:
        assert matches(text, Place("localhost", 80)) in {True, False}
    except InputError as error:
        assert "allow_targets" in str(error) or "host" in str(error) or "IPv6" in str(error)  # noqa: PT017
