from app.service.run_summary import RunSummary, Tally, printable


def test_names_are_listed_up_to_a_limit() -> None:
    tally = Tally()
    for i in range(7):
        tally.add("not an image", f"{i}.txt")
    tally.add("TIFF", "a\n\x1b[31m.tif")
    assert tally.total == 8
    assert tally.lines("left out:") == [
        "7 left out: not an image: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more.",
        r"1 left out: TIFF: 'a\n\x1b[31m.tif'.",
    ]


def test_the_summary() -> None:
    left_out = Tally()
    left_out.add("not an image", "c")
    summary = RunSummary(left_out)
    assert summary.lines()[0] == "0 images read, 0 failed, 1 left out."
    summary.read = 1
    summary.failed.add("truncated-image", "b.jpg")
    assert summary.lines() == [
        "1 image read, 1 failed, 1 left out.",
        "1 failed: truncated-image: b.jpg.",
        "1 left out: not an image: c.",
    ]


def test_names_for_a_terminal() -> None:
    assert printable("顔 é.jpg") == "顔 é.jpg"
    assert printable("\udce9.jpg").isascii()
    assert len(printable("x" * 5000)) < 130
