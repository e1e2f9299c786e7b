"""Responses of the connection itself, for which the application is not called."""

import json

import h11

from app.api.security_headers import with_security_headers
from app.service import problems


def refusal(problem: problems.Problem, root: str, method: bytes) -> tuple[h11.Event, ...]:
    """Return the events of a response that ends the connection.

    Args:
        problem: the problem that is its body.
        root: the path with which the types of problems begin.
        method: the method of the request; empty if it is not known.
    """
    body = json.dumps(problem.under(root).model_dump(exclude_none=True)).encode()
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", problems.retry_after().encode())] if problem.status == 503 else []),
    ]
    head = h11.Response(status_code=problem.status, headers=with_security_headers(headers))
    return head, h11.Data(data=b"" if method == b"HEAD" else body), h11.EndOfMessage()
