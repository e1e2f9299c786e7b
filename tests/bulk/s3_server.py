"""An object store that speaks as much of the protocol of S3 as PyArrow uses, in memory."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class S3(ThreadingHTTPServer):
    """The server.

    Attributes:
        objects: the objects by bucket and key.
        uploads: the parts of uploads that are not complete, by id.
        puts: the keys of the objects that were written, in their order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.puts: list[str] = []

    def store(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self.puts.append(key)

    def uri(self, path: str) -> str:
        return f"s3://{path}?endpoint_override=127.0.0.1:{self.server_port}&scheme=http&region=local"


@contextmanager
def s3_server() -> Iterator[S3]:
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _target(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        return unquote(url.path).strip("/"), query

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = _chunks(self.rfile)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            return _chunks(io.BytesIO(data))
        return data

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        key, _ = self._target()
        if key in self.server.objects:
            self._answer(200, Content_Length=str(len(self.server.objects[key])), ETag='"1"')
        else:
            self._answer(200 if "/" not in key else 404)

    def do_GET(self) -> None:
        key, query = self._target()
        if "list-type" in query:
            self._list(key, query)
        elif key not in self.server.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            data = self.server.objects[key]
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if found is None:
                self._answer(200, data, ETag='"1"')
                return
            first = int(found[1])
            last = min(int(found[2] or len(data)), len(data) - 1)
            span = f"bytes {first}-{last}/{len(data)}"
            self._answer(206, data[first : last + 1], ETag='"1"', Content_Range=span)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        names = (key.removeprefix(f"{bucket}/") for key in sorted(self.server.objects))
        keys = [name for name in names if name.startswith(prefix)]
        inside = {name for name in keys if "delimiter" not in query or "/" not in name[len(prefix) :]}
        folders = sorted({prefix + name[len(prefix) :].split("/")[0] + "/" for name in keys} - inside)
        folders = [folder for folder in folders if any(k.startswith(folder) for k in set(keys) - inside)]
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[f'{bucket}/{key}'])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in sorted(inside)
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders
        )
        body = f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(inside)}</KeyCount>"
        body += f"<IsTruncated>false</IsTruncated>{found}{common}</ListBucketResult>"
        self._answer(200, body.encode(), Content_Type="application/xml")

    def do_PUT(self) -> None:
        key, query = self._target()
        data = self._body()
        if "partNumber" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = data
        elif "/" in key:
            self.server.store(key, data)
        self._answer(200, ETag='"1"')

    def do_POST(self) -> None:
        key, query = self._target()
        self._body()
        if "uploads" in query:
            id = str(len(self.server.uploads))
            self.server.uploads[id] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.store(key, b"".join(parts[number] for number in sorted(parts)))
            body = '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'
        self._answer(200, body.encode(), Content_Type="application/xml")

    def do_DELETE(self) -> None:
        key, _ = self._target()
        self.server.objects.pop(key, None)
        self._answer(204)


def _chunks(file: BufferedIOBase) -> bytes:
    """Return the data of a chunked body, and read the trailer."""
    chunks = []
    while size := int(file.readline().split(b";")[0], 16):
        chunks.append(file.read(size))
        file.readline()
    while file.readline().strip():
        pass
    return b"".join(chunks)
