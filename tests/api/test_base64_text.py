import base64
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.base64_text import decode
from app.errors import BadParameter

DATA = random.Random(7).randbytes(3000)
TEXT = base64.b64encode(DATA).decode()


def lines(text: str, width: int, end: str) -> str:
    return end.join(text[i : i + width] for i in range(0, len(text), width))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"  {TEXT}\n",
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
        lines(TEXT, 76, "\n"),
        lines(TEXT, 64, "\r\n  "),
        lines(TEXT, 76, " "),
        lines(TEXT, 60, "\t"),
        TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        lines(TEXT, 76, "%0D%0A"),
        f"data:image/jpeg;base64,{TEXT}",
        f"DATA:;base64, {lines(TEXT, 76, chr(10))}",
        "data:image/png;base64," + TEXT.replace("+", "%2B"),
        lines(TEXT.replace("+", "-"), 76, " "),
    ],
)
def test_forms(text: str) -> None:
    assert decode(text, "image") == DATA


def test_wrapped_text_without_a_plus() -> None:
    """Its blanks are breaks of lines, because they come at equal distances."""
    data = bytes(500)
    assert decode(lines(base64.b64encode(data).decode(), 76, " "), "image") == data


@pytest.mark.parametrize("wrap", [0, 76])
@pytest.mark.parametrize("size", [200, 3000])
def test_blanks_for_plus(size: int, wrap: int) -> None:
    text = base64.b64encode(DATA[:size]).decode()
    assert "+" in text
    damaged = text.replace("+", " ")
    with pytest.raises(BadParameter, match="blanks where \\+ belongs"):
        decode(lines(damaged, wrap, "\n") if wrap else damaged, "image")


@pytest.mark.parametrize(
    "text",
    [
        " " * 5_000_000 + "x",
        "A" + " " * 5_000_000 + "A",
        "A " * 3_000_000,
        " \n" * 3_000_000 + "A",
        "A" * 41 + (" " + "B" * 40) * 100_000,
        "%2b" * 2_000_000,
        "=" * 5_000_000 + "A",
        "x" * 5_000_000 + ".jpg",
    ],
    ids=range(8),
)
def test_no_text_takes_long(text: str) -> None:
    start, detail = time.monotonic(), ""
    try:
        decode(text, "image")
    except BadParameter as error:
        detail = error.detail
    assert len(detail) < 250
    assert time.monotonic() - start < 5


@given(st.binary(max_size=300), st.integers(1, 80), st.sampled_from(["", "\n", "\r\n", "\n  ", "\t"]))
def test_every_text_of_an_encoder_is_read(data: bytes, width: int, end: str) -> None:
    assert decode(lines(base64.b64encode(data).decode(), width, end), "image") == data
    assert decode(base64.urlsafe_b64encode(data).decode(), "image") == data
