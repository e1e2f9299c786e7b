"""Mistakes of the user of a command, such as a missing folder: one line instead of a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import FacetError
from training.config.registry import RunError


class UserError(Exception):
    """A command cannot do what its options ask for. The message says what to change."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn mistakes of the user into one line on stderr and exit status 1, or that of the error.

    Yields:
        Nothing; the body is the command.

    Raises:
        SystemExit: a file cannot be read or written, or a model or run is unknown or unsuitable.
    """
    try:
        yield
    except OSError as error:
        sys.exit(_sentence(error))
    except (UserError, FacetError, RunError) as error:
        status = getattr(error, "exit_status", 1)
        if status == 1:
            sys.exit(str(error))
        print(error, file=sys.stderr)
        sys.exit(status)


def _sentence(error: OSError) -> str:
    # HDF5 and TensorFlow raise errors of their own, with the cause in the text alone.
    if error.errno == errno.ENOSPC or "No space left on device" in str(error):
        target = error.filename2 or error.filename  # a copy has both
        place = f" for {target}" if target else ""
        return f"No space is left on the device{place}. Free some space, and run the command again."
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist." if error.filename else str(error)
    if error.filename and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror}."
    return str(error)
