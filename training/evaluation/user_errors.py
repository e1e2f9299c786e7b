"""Mistakes of the user of a command, such as a missing folder: one line instead of a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import FacetError
from training.config.registry import RunError


class UserError(Exception):
    """A command cannot do what its options ask for. The message says what to change."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn mistakes of the user into one line on stderr and exit status 1.

    Yields:
        Nothing; the body is the command.

    Raises:
        SystemExit: a file is missing, or a model or run is unknown or unsuitable.
    """
    try:
        yield
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} does not exist." if error.filename else str(error))
    except (UserError, FacetError, RunError) as error:
        sys.exit(str(error))
