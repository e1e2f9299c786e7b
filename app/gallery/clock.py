"""The clock of the gallery: when something was stored, and whether it has expired. No wait depends on it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time (UTC)."""
    return datetime.now(UTC)
