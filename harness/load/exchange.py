"""One request and what became of it, and the names that failures go by."""

from typing import Final

UNSENT: Final = frozenset({"no_connection", "stopped"})
"""What keeps a request from being sent: no connection came free while it waited; the test was over."""

IN_FLIGHT: Final = "in_flight"
"""It was sent, and neither answered nor given up when the test stopped."""

WAITED: Final = frozenset({"no_connection", "stopped", IN_FLIGHT, "connect_timeout"})
"""Ends without an answer, which count in the latency with the time that was waited; and every time-out."""

ABOUT: Final = {
    "refused": "the connection was refused: nothing listens there, or its backlog is full",
    "unreachable": "the target's address cannot be reached",
    "dns": "the target's name cannot be resolved",
    "connect_timeout": "no connection was made in time",
    "connect_failed": "no connection could be made",
    "out_of_sockets": "this machine has no file descriptor or port left for a connection",
    "bad_certificate": "the target's certificate cannot be trusted",
    "tls": "the TLS handshake or channel failed",
    "timeout": "no byte of the answer came in time",
    "timeout_in_headers": "the answer's head was not complete in time",
    "timeout_in_body": "the answer's body was not complete in time",
    "reset": "the connection was reset before any byte of the answer",
    "reset_in_headers": "the connection was reset within the answer's head",
    "reset_in_body": "the connection was reset within the answer's body",
    "closed": "the connection was closed before any byte of the answer",
    "closed_in_headers": "the connection was closed within the answer's head",
    "closed_in_body": "the connection was closed before the body was as long as its head said",
    "bad_answer": "what came is no HTTP/1.1 answer",
    "excess_data": "more bytes came than the answer's head said",
    "head_too_large": "the answer's head has more than 64 KiB",
    "body_too_large": "the answer's body has more bytes than --max-body allows",
    "upgrade": "the target asked to go on in another protocol",
    "no_connection": "due, but all connections were busy until it was given up",
    "stopped": "due, but the test stopped before a connection was free",
    "content_type": "the answer's content type is not the one expected",
    "not_json": "the answer is no JSON",
    "schema": "the answer is not what the schema says",
    "condition": "a condition on the answer does not hold",
    "golden": "the answer is not the golden prediction",
}
"""What each kind of failure means; `http_NNN` is an answer with that status."""


class Exchange:
    """A request, and what became of it. Times are nanoseconds of the loop; 0: it did not come to that.

    Mutable and without types at run time: there is one for each request, and some come 100,000 times a second.
    """

    __slots__ = (
        "answer",
        "body",
        "content_type",
        "done_ns",
        "due_ns",
        "fault",
        "first_ns",
        "gaps",
        "location",
        "number",
        "retried",
        "sent_ns",
        "status",
        "taken_ns",
        "target",
        "told",
        "user",
        "wire",
    )

    def __init__(self, number: int, due_ns: int, taken_ns: int, target: int, body: int, wire: bytes) -> None:
        self.number = number
        """In the order of due times, over all generators."""
        self.due_ns = due_ns
        self.taken_ns = taken_ns
        """When the generator took it up; what lies between is the generator's own lag."""
        self.target = target
        self.body = body
        """Number of its body in the payload."""
        self.wire = wire
        """The request as it is sent."""
        self.sent_ns = 0
        self.first_ns = 0
        """When the first byte of the answer came."""
        self.done_ns = 0
        """When the last byte came, or it was given up."""
        self.status = 0
        self.fault = ""
        """Why it failed: a key of ABOUT, or http_NNN; empty: it did not."""
        self.told = ""
        """What was found, for people."""
        self.answer: bytes | None = None
        """The answer's body, where it is kept."""
        self.content_type = ""
        self.location = ""
        self.gaps: list[int] | None = None
        """Between the pieces of an answer, where they are measured."""
        self.retried = False
        """It was sent again, because the connection that it went out on had been closed by the target while idle."""
        self.user = 0
        """Of a closed loop."""

    def again(self, number: int, due_ns: int, taken_ns: int, target: int, body: int, wire: bytes) -> None:
        """Become the next request of the same user, after one that was answered well: quicker than to make another."""
        self.number, self.due_ns, self.taken_ns = number, due_ns, taken_ns
        self.target, self.body, self.wire = target, body, wire
        self.sent_ns = 0
        self.answer = self.gaps = None
        self.retried = False
