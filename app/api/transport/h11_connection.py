"""h11's parser with stricter limits: on the head, on ambiguous framing, and on bodies in tiny chunks.

h11 takes about 10 microseconds for a chunk or a header line, whatever its size. A client that sends chunks of
one byte would use all time of the event loop at 0.5 MB/s.
"""

import re
from typing import Any

import h11

MAX_HEAD = 16 << 10
"""Maximum bytes of a request head, as in Node.js."""

MAX_TARGET = 8 << 10
"""Maximum bytes of a request target. RFC 9110 recommends to support at least 8000."""

_FREE_CHUNKS = 500
_MIN_MEAN_CHUNK = 512

_MAX_FAULT = 200

_TLS = re.compile(rb"\x16\x03[\0-\4]")
_IS_TLS = "it is TLS. The service speaks plain HTTP: use an address with http://, or a proxy for TLS"

_HEAD_END = re.compile(rb"\n\r?\n")


class H11Connection(h11.Connection):
    """The server's side of a connection.

    Attributes:
        fault: the reason why the request is invalid, empty if it is valid.
        method: the method of the last request.
        chunked: whether the body of the last request comes in chunks.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self.fault = ""
        self.method = b""
        self.chunked = False
        self._chunks = 0
        self._body_bytes = 0

    def next_event(self) -> Any:
        """Return the next event of the client.

        Raises:
            RemoteProtocolError: the client does not follow the protocol, or exceeds a limit.
        """
        tls = False
        try:
            if self.their_state is h11.IDLE:
                received = self.trailing_data[0]
                tls = _TLS.match(received) is not None
                _check_size_of_head(received)
            event = super().next_event()
            if isinstance(event, h11.Data):
                self._check_chunks(event)
            elif isinstance(event, h11.Request):
                self._check_head(event)
            return event
        except h11.RemoteProtocolError as error:
            self.fault = _IS_TLS if tls else re.sub(r"bytearray\(b(.*)\)", r"\1", str(error))[:_MAX_FAULT]
            raise

    def _check_head(self, request: h11.Request) -> None:
        """Check the framing, which a proxy could read in another way (RFC 9112, 6.1 and 6.3), and the target.

        Raises:
            RemoteProtocolError: the framing is ambiguous, or the target is too long.
        """
        self.method = request.method
        self._chunks = self._body_bytes = 0
        names = {name for name, _ in request.headers}
        self.chunked = b"transfer-encoding" in names
        if self.chunked:
            if b"content-length" in names:
                raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding are set. Send one")
            if request.http_version < b"1.1":
                raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding. Send Content-Length")
        if len(request.target) > MAX_TARGET:
            raise h11.RemoteProtocolError(f"the path and query exceed {MAX_TARGET} bytes", 414)

    def _check_chunks(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._body_bytes += len(data.data)
        if self._chunks > _FREE_CHUNKS + self._body_bytes // _MIN_MEAN_CHUNK:
            raise h11.RemoteProtocolError(
                f"the first {self._body_bytes} bytes of the body came in {self._chunks} chunks. "
                f"Send chunks of {_MIN_MEAN_CHUNK} bytes or more"
            )


def _check_size_of_head(received: bytes) -> None:
    if len(received) > MAX_HEAD and not _HEAD_END.search(received, 0, MAX_HEAD):
        raise h11.RemoteProtocolError(f"the head exceeds {MAX_HEAD} bytes", 431)
