"""The door that blocks: the standard library's HTTP over sockets of which every wait ends with the call.

It starts no thread and no loop, so it may be used anywhere: also inside a running event loop, which it holds up then.
"""

import contextlib
import http.client
import select
import socket
import ssl
import threading
import weakref
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from harness.clock import wall_ns
from harness.domain.units import SECOND
from harness.serving.client.asking import Prediction, Row
from harness.serving.client.calling import LARGEST, Answer, Attempt, Cause, Failure, Outcome, Wait
from harness.serving.client.talk import Door, Health

T = TypeVar("T")


class ModelServingClient(Door):
    """A model server's client that blocks; its connections are kept, and threads may share it.

    Args:
        endpoint: http(s)://HOST:PORT, before the paths of the protocol.
        timeout: seconds in which a call ends, its retries included.
        protocol: json, mlflow or v2.
        model: its name; the protocol v2 needs it.
        retries: attempts after the first, where another may help.
        headers: that go with each request.
        token_env: name of a variable that holds a token (sent as a bearer).
        token_file: file that holds it instead; read anew for each call.
        ca_file: authorities to trust, PEM; None: those of the system.
        seed: of the waits between attempts; None: another in each client, so that no two come back together.

    Raises:
        InputError: any of these cannot be used.
    """

    @cached_property
    def _idle(self) -> "deque[_Connection]":
        idle: deque[_Connection] = deque()
        weakref.finalize(self, _close, idle)  # of a client that nobody closes, as handbooks have it
        return idle

    def __enter__(self) -> "ModelServingClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections that were kept; the client can be used again."""
        _close(self._idle)

    def health_check(self) -> Health:
        """Whether the server is well: ``status`` is healthy or unhealthy, and nothing is raised."""
        return self._carry_out(self._talk.health())

    def ready(self) -> bool:
        """Whether it may get traffic; not, where it cannot be reached."""
        return self._carry_out(self._talk.ready())

    def predict(self, features: Row) -> Prediction:
        """The prediction of a row, features by name.

        Returns:
            ``prediction``, ``confidence``, ``model`` and ``version``, None where the server does not say; and what it
            says besides.

        Raises:
            ConnectionError: there is no connection, or it broke.
            TimeoutError: there was no answer in time.
            EndpointError: the server refused, with its status and its words.
            InputError: a feature cannot be sent.
        """
        return self._carry_out(self._talk.predict([features]))[0]

    def predict_many(self, rows: Sequence[Row]) -> list[Prediction]:
        """The predictions of rows, in their order; raises as `predict`.

        They are asked for in one call, over the protocol json in one for each, which has its own time.
        """
        return self._carry_out(self._talk.predict(rows))

    def metadata(self) -> dict[str, Any]:
        """What the server says of its model: ``model`` and ``version``, and the rest; raises as `predict`."""
        return self._carry_out(self._talk.metadata())

    def _carry_out(self, steps: Generator[Attempt | Wait, Outcome | None, T]) -> T:
        came: Outcome | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as stop:
                found: T = stop.value
                return found
            if isinstance(step, Wait):
                threading.Event().wait(step.seconds)
                came = None
            else:
                came = self._attempt(step)

    def _attempt(self, attempt: Attempt) -> Outcome:
        connection = self._connection()
        connection.until_ns = wall_ns() + attempt.within_ns
        try:
            answer = connection.exchange(self._talk.target.prefix + attempt.request.path, attempt)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            return _failure(error, connected=connection.connected)
        except BaseException:  # interrupted: what is left on the connection is nobody's
            connection.close()
            raise
        if connection.sock is not None:
            self._idle.append(connection)
        return answer

    def _connection(self) -> "_Connection":
        with contextlib.suppress(IndexError):
            while True:
                kept = self._idle.pop()
                if kept.still_good():
                    return kept
                kept.close()
        return _Connection(self._talk.target.host, self._talk.target.port, self._tls)


def _close(idle: "deque[_Connection]") -> None:
    with contextlib.suppress(IndexError):
        while True:
            idle.pop().close()


class _Timed:
    """A socket of which every wait ends at the same time, however many there are."""

    until_ns: int

    def _limit(self) -> None:
        left_ns = self.until_ns - wall_ns()
        if left_ns <= 0:
            raise TimeoutError
        self.settimeout(left_ns / SECOND)  # type: ignore[attr-defined]

    def recv_into(self, *args: Any, **named: Any) -> int:
        """As sockets do, in time."""
        self._limit()
        count: int = super().recv_into(*args, **named)  # type: ignore[misc]
        return count

    def send(self, *args: Any, **named: Any) -> int:
        """As sockets do, in time."""
        self._limit()
        count: int = super().send(*args, **named)  # type: ignore[misc]
        return count

    def sendall(self, *args: Any, **named: Any) -> None:
        """As sockets do, in time."""
        self._limit()
        super().sendall(*args, **named)  # type: ignore[misc]


class _Plain(_Timed, socket.socket):
    """Without TLS."""


class _Secure(_Timed, ssl.SSLSocket):
    """With TLS."""


class _Response(http.client.HTTPResponse):
    """Reads past all interim answers; the standard library does so for 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Connection(http.client.HTTPConnection):
    response_class = _Response

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._tls = tls
        self.default_port = 443 if tls else 80
        self.until_ns = 0
        self.connected = False

    def connect(self) -> None:
        """Try the host's addresses in their order, all within the time there is."""
        self.connected = False
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            connecting = _Plain(family, kind, protocol)
            connecting.until_ns = self.until_ns
            try:
                connecting._limit()  # noqa: SLF001 - a class of this file
                connecting.connect(address)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock = self._secured(connecting)
            except OSError as error:
                connecting.close()
                failure = error
                if isinstance(error, TimeoutError | ssl.SSLError):
                    break
            else:
                self.connected = True
                return
        raise failure or OSError(f"{self.host} has no address")

    def _secured(self, connecting: _Plain) -> socket.socket:
        if self._tls is None:
            return connecting
        self._tls.sslsocket_class = _Secure
        secured = self._tls.wrap_socket(connecting, server_hostname=self.host, do_handshake_on_connect=False)
        assert isinstance(secured, _Secure)
        secured.until_ns = self.until_ns
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        return secured

    def still_good(self) -> bool:
        """Whether a kept connection may be used: nothing has come that nobody asked for, nor its end."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def exchange(self, path: str, attempt: Attempt) -> Answer:
        """Send a request and read the whole answer."""
        if isinstance(self.sock, _Timed):
            self.sock.until_ns = self.until_ns
        self.request(attempt.request.method, path or "/", attempt.request.body, dict(attempt.headers))
        with self.getresponse() as response:
            headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}
            if {"content-length", "transfer-encoding"} <= headers.keys():  # one of them lies (RFC 9112, 6.3)
                raise http.client.HTTPException("it says both Content-Length and Transfer-Encoding")
            body = response.read(LARGEST + 1)
            if len(body) > LARGEST:
                self.close()
            elif response.length:  # of a body that was promised longer
                raise http.client.IncompleteRead(body, response.length)
            return Answer(response.status, headers, body)


def _failure(error: Exception, *, connected: bool) -> Failure:
    told = str(error) or type(error).__name__
    match error:
        case TimeoutError():
            return Failure(Cause.LATE)
        case ssl.SSLCertVerificationError():
            return Failure(Cause.UNTRUSTED, error.verify_message)
        case ssl.SSLError():
            return Failure(Cause.GARBLED if connected else Cause.UNTRUSTED, told)
        case http.client.RemoteDisconnected():
            return Failure(Cause.DROPPED)
        case http.client.IncompleteRead() | OSError() if connected:
            return Failure(Cause.BROKEN, getattr(error, "strerror", None) or "it ended early")
        case OSError():
            return Failure(Cause.REFUSED, error.strerror or told)
    return Failure(Cause.GARBLED, told)
