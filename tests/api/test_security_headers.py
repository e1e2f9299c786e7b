import base64
import hashlib
import re

import httpx
import pytest

from app.api.security_headers import console_policy, swagger_policy, with_security_headers
from tests.api.pictures import picture

PAGES = ("/", "/docs")


def policy(response: httpx.Response) -> dict[str, list[str]]:
    (text,) = response.headers.get_list("content-security-policy")
    return {name: values for name, *values in (rule.split() for rule in text.split(";"))}


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize(
    "address", [*PAGES, "/livez", "/nowhere", "/example.jpg", "/console/main.js", "/detect", "/metrics"]
)
def test_every_answer_is_careful(client: httpx.Client, address: str) -> None:
    response = client.get(address)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    rules = policy(response)
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == ["'none'"]
    assert "'unsafe-eval'" not in str(rules)
    assert "http" not in str(rules)
    assert "server" not in response.headers


@pytest.mark.parametrize("address", ["/detect", "/embed", "/landmarks"])
def test_answers_about_people_are_not_stored(client: httpx.Client, address: str) -> None:
    assert client.post(address, files={"image": picture()}).headers["cache-control"] == "no-store"
    assert client.get("/models").headers["cache-control"] == "no-store"


def test_files_may_be_stored(client: httpx.Client) -> None:
    assert "cache-control" not in client.get("/docs/assets/swagger-ui.css").headers


def test_the_docs_run_their_own_scripts_and_no_others(client: httpx.Client) -> None:
    response = client.get("/docs")
    inline = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert inline
    assert set(policy(response)["script-src"]) == {"'self'", *map(hashed, inline)}
    assert not re.search(r"<[^>]+\son\w+\s*=|javascript:", response.text)  # what a policy would stop
    for source in re.findall(r"<script[^>]+src=\"([^\"]+)\"", response.text):
        assert source.startswith("/docs/assets/")


def test_the_console_has_only_files_of_this_host(client: httpx.Client) -> None:
    assert policy(client.get("/")) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }


def test_a_base_address_must_be_of_this_host() -> None:
    assert "base-uri 'self';" in console_policy(base=True)
    assert console_policy(base=True).replace("base-uri 'self'", "base-uri 'none'") == console_policy(
        base=False
    )


def test_no_other_site_may_read_answers(client: httpx.Client) -> None:
    for method, address in (("OPTIONS", "/detect"), ("GET", "/models"), ("POST", "/detect")):
        asked = {"origin": "https://example.org", "access-control-request-method": "POST"}
        response = client.request(method, address, headers=asked)
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert "*" not in response.headers.get("allow", "")


def test_headers_of_its_own_stay() -> None:
    own = [(b"Content-Security-Policy", b"own"), (b"ETag", b"1")]
    names = [name.lower() for name, _ in with_security_headers(own)]
    assert names.count(b"content-security-policy") == 1
    assert b"cache-control" not in names


def test_a_policy_follows_the_page() -> None:
    one, other = (swagger_policy(f"<script>{text}</script>") for text in ("x", "y"))
    assert one != other
    assert f"script-src 'self' {hashed('x')};" in one
