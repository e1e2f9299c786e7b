import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from app.api.content_negotiation import JPEG, JSON, PNG, negotiate

OFFERED = (JSON, PNG, JPEG)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,"


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
        # Firefox, Chrome, Safari and older Edge open an address.
        (f"{BROWSER}image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8", JSON),
        (f"{BROWSER}image/avif,image/jxl,image/webp,image/png,image/svg+xml,*/*;q=0.8", JSON),
        (f"{BROWSER}image/avif,image/webp,*/*;q=0.8", JSON),
        (f"{BROWSER}image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7", JSON),
        (f"{BROWSER}image/avif,image/webp,image/png,image/jpeg,image/*,*/*;q=0.8", JSON),
        (f"{BROWSER}*/*;q=0.8", JSON),
        ("text/html, application/xhtml+xml, image/jxr, image/png, */*", JSON),
        ("text/html;q=0.5, image/png, */*;q=0.1", PNG),  # an image is preferred
        ("text/html, image/png", PNG),  # JSON is not accepted
        ("text/html, image/png, application/json;q=0", PNG),
        # Firefox, Chrome and Safari show an image.
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", PNG),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", PNG),
        ("image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", PNG),
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
