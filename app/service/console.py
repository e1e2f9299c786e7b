"""Standard output and standard error of a command: lines, messages and a progress bar."""

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import typer
from tqdm import tqdm


class OutputError(Exception):
    """Standard output cannot be written.

    Attributes:
        closed: whether the program that read it has closed it, as `head` does.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"Standard output cannot be written: {error.strerror}.")
        self.closed = isinstance(error, BrokenPipeError)


def emit(line: str) -> None:
    """Print a line to standard output, in UTF-8 whatever the encoding of the console is.

    Raises:
        OutputError: the line cannot be written.
    """
    try:
        typer.echo(line.encode())
    except OSError as error:
        raise OutputError(error) from error


def report(message: str) -> None:
    """Print a message to standard error. Errors are ignored: a full disk for messages does not stop a run."""
    with suppress(OSError):
        typer.echo(f"facet: {message}", err=True)


def discard_unwritten() -> None:
    """Discard what cannot be written to the standard streams, so that the exit status stays as it is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """Prints the lines of a run, with a progress bar on standard error if there are several.

    Args:
        total: number of lines.
        unit: name of what a line stands for.
        done: how many of them are done already.
    """

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        self._stream = _StandardError()
        hidden = total < 2 or sys.stderr is None
        self._bar = tqdm(total=total, initial=done, unit=unit, disable=hidden, file=self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.leave = not isinstance(error, OutputError)
        self._bar.close()

    def emit(self, line: str) -> None:
        """Print a line to standard output, above the bar.

        Raises:
            OutputError: the line cannot be written.
        """
        with tqdm.external_write_mode(file=self._stream):
            emit(line)
        self.advance()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Move the bar on.

        Args:
            count: by how many.
            note: a text after the bar.
        """
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count)


class _StandardError:
    """Standard error that ignores errors."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)
