"""Truncation: an image is incomplete if more than a few of its rows have no data."""

MAX_MISSING_ROWS = 4


def check_rows(present: int, rows: int) -> None:
    """Check that at most a few rows are missing.

    Args:
        present: rows that have data.
        rows: rows of the image.

    Raises:
        ValueError: more than `MAX_MISSING_ROWS` rows are missing.
    """
    if rows - present > MAX_MISSING_ROWS:
        raise ValueError(f"{rows - present} of {rows} rows are missing")
