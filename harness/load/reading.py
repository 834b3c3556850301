"""An answer that did not come as most do: read by httptools, in pieces, chunked, after interim ones, up to a close."""

from typing import Any, Final

import httptools

MOST_HEAD_BYTES: Final = 65_536
END_OF_HEAD: Final = b"\r\n\r\n"

Head = tuple[int, int, bool, str, str]
"""Of an answer: status, length of the body, whether the connection stays open, content type, location."""


class Reading:
    """One answer, as far as it has come.

    Args:
        first: the first piece of it.
        max_body: bytes of its body, beyond which it is not read on.
        keep: its body is kept; that of a failure always is, to be shown.
        bodiless: it has no body, whatever its head says (HEAD).
    """

    def __init__(self, first: bytes, *, max_body: int, keep: bool, bodiless: bool = False) -> None:
        self._first = first
        self._max_body = max_body
        self._keep = keep
        self._bodiless = bodiless
        self.first_ns = 0
        """When the first bytes of its body came."""
        self._parser: Any = httptools.HttpResponseParser(self)
        self._fed = 0
        self._length: int | None = None
        self._chunked = False
        self._interim = False
        self._last_ns = 0
        self._piece = False
        self.status = 0
        self.headed = False
        self.complete = False
        self.keep = False
        self.content_type = ""
        self.location = ""
        self.body: list[bytes] = []
        self.size = 0
        self.gaps: list[int] = []
        self.fault: tuple[str, str] | None = None

    @property
    def until_close(self) -> bool:
        """The body ends where the connection does."""
        return self.headed and not self.complete and self._length is None and not self._chunked

    def feed(self, data: bytes, now: int) -> None:
        """Take bytes as they came."""
        self._fed += len(data)
        self._piece = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fault = ("upgrade", f"status {self._parser.get_status_code()}")
            return
        except httptools.HttpParserError as error:
            told = str(error) or type(error).__name__
            self.fault = (
                ("excess_data", told) if self.complete else ("bad_answer", f"{told}; began {self._first[:60]!r}")
            )
            return
        if self._piece:
            if self._last_ns:
                self.gaps.append(now - self._last_ns)
            self.first_ns = self.first_ns or now
            self._last_ns = now
        if not self.headed and self._fed > MOST_HEAD_BYTES:
            self.fault = ("head_too_large", f"{self._fed} bytes without an end of the head")

    def head(self) -> tuple[bytes, Head] | None:
        """Its head, and what it says: of an answer that came whole, in one piece, with its length; else None."""
        cut = self._first.find(END_OF_HEAD) + len(END_OF_HEAD)
        plain = self.complete and not (self._chunked or self._interim) and self._fed == len(self._first)
        if not plain or self._length is None or self._fed != cut + self._length:
            return None
        return self._first[:cut], (self.status, self._length, self.keep, self.content_type, self.location)

    # --- what httptools calls ---

    def on_message_begin(self) -> None:
        """An answer begins: the first, the one after an interim one, or one too many."""
        if self.complete:
            self.fault = ("excess_data", "another answer came that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        word = name.lower()
        if word == b"content-length":
            self._length = int(value) if value.isdigit() else None
        elif word == b"transfer-encoding":
            self._chunked = b"chunked" in value.lower()
        elif word == b"content-type":
            self.content_type = value.decode("latin-1")
        elif word == b"location":
            self.location = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        self.headed = self.status >= 200
        if self.status in {204, 304} or (self.headed and self._bodiless):
            self._length = 0
        if self._length is not None and self._length > self._max_body:
            self.fault = ("body_too_large", f"its head promises {self._length} bytes")
        if self.headed and self._bodiless:
            self._chunked = False
            self.on_message_complete()  # the parser waits for the body that the head tells of

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        if self.complete:
            self.fault = ("excess_data", "a body came that the head says is not there, or that was not asked for")
            return
        self._piece = True
        self.size += len(part)
        if self.size > self._max_body:
            self.fault = self.fault or ("body_too_large", f"{self.size} bytes came, and more were to come")
        elif self._keep or self.status >= 300:
            self.body.append(part)

    def on_message_complete(self) -> None:
        """The answer is complete; an interim one (1xx) is not the answer."""
        if self.status < 200:
            self._interim, self._length, self._chunked = True, None, False
            return
        self.complete = True
        self.keep = self._parser.should_keep_alive()
