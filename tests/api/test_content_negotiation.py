import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from app.api.content_negotiation import JPEG, JSON, PNG, negotiate

OFFERED = (JSON, PNG, JPEG)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("*", JSON),
        ("application/json", JSON),
        ("application/*", JSON),
        ("image/png", PNG),
        ("image/jpeg", JPEG),
        ("IMAGE/PNG", PNG),
        ("image/*", PNG),
        ("image/jpeg, image/png", JPEG),
        ("image/png, image/jpeg", PNG),
        ("image/png;q=0.5, image/jpeg", JPEG),
        ("image/png, */*", PNG),
        ("image/png;q=0.1, */*;q=0.8", JSON),
        ("application/json;q=0.9, image/png", PNG),
        ("application/json, text/plain, */*", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", JSON),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", PNG),
        ("image/*, image/png;q=0", JPEG),
        ("text/csv, image/jpeg ; q = 0.2", JPEG),
        ("application/problem+json", JSON),
        ("Application/Problem+JSON;q=0.1, text/csv", JSON),
        ("application/problem+json, image/png", PNG),
        ("image/png;q=oops, application/json;q=0.1", JSON),
    ],
)
def test_the_best_of_what_is_offered(header: str | None, chosen: str) -> None:
    assert negotiate(Headers({} if header is None else {"accept": header}), OFFERED) == chosen


@pytest.mark.parametrize(
    "header",
    [
        "text/csv",
        "image/webp",
        "application/json;q=0",
        "application/problem+json;q=0",
        "*/*;q=0",
        "image/*;q=0",
    ],
)
def test_nothing_offered_will_do(header: str) -> None:
    with pytest.raises(HTTPException) as caught:
        negotiate(Headers({"accept": header}), OFFERED)
    assert caught.value.status_code == 406


def test_problems_are_json_only_where_json_is_offered() -> None:
    with pytest.raises(HTTPException):
        negotiate(Headers({"accept": "application/problem+json"}), (PNG,))


def test_several_headers_are_one_list() -> None:
    headers = Headers(raw=[(b"accept", b"text/csv"), (b"accept", b"image/jpeg")])
    assert negotiate(headers, OFFERED) == JPEG
