"""Requests that are not passed on, and what their senders are told instead.

What is no HTTP never gets here: aiohttp's parser answers it with 400 (two lengths, a length beside `Transfer-Encoding`,
spaces in names, folded lines, lines above 8,190 bytes, more than 128 headers). Here is what it lets through, and what
two servers in a row could read in two ways.
"""

from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, web

from harness.routing.asking import Unanswered

BAD_REQUEST, NOT_ALLOWED = 400, 405
NEVER: Final = frozenset({"CONNECT", "TRACE"})
"""The one asks for a tunnel, the other for its own headers, cookies among them, as an answer's body."""


def refuse_unfit(request: web.BaseRequest) -> None:
    """Let a request go on, or not.

    Raises:
        Unanswered: it cannot be passed on as it is; 400, or 405 for a method.
    """
    if request.method in NEVER:
        raise Unanswered(NOT_ALLOWED, "method", f"{request.method} is not passed on")
    if request.version < HttpVersion10:
        raise _bad("HTTP/0.9 is not spoken here")
    if not request.raw_path.startswith(("/", "http://", "https://")):
        raise _bad(f"{request.raw_path[:80]!r} is no path")
    headers = request.headers
    if "Transfer-Encoding" in headers:
        _hold_framing(request)
    if "Upgrade" in headers and "websocket" in headers["Upgrade"].lower():
        raise Unanswered(BAD_REQUEST, "upgrade", "this router passes on requests and answers, no websockets")
    if not all(map(str.isascii, headers.values())):
        _hold_text(request)


def _hold_framing(request: web.BaseRequest) -> None:
    """RFC 9112, section 6.1: chunks are all that is understood, and HTTP/1.0 has none."""
    codings = request.headers.getall("Transfer-Encoding")
    if request.version < HttpVersion11 or [each.strip().lower() for each in codings] != ["chunked"]:
        raise _bad(f"Transfer-Encoding: {', '.join(codings)} is not understood; a body comes by length or in chunks")


def _hold_text(request: web.BaseRequest) -> None:
    """Bytes that are no UTF-8 would not arrive as they were sent."""
    for name, value in request.headers.items():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _bad(f"the header {name} holds bytes that are no UTF-8") from None


def _bad(text: str) -> Unanswered:
    return Unanswered(BAD_REQUEST, "bad_request", text)
