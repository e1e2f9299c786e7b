"""API keys: the forms of a setting and of a file, and the check of the key of a request."""

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_MIN_LENGTH = 16

_MAX_FILE_BYTES = 64 << 10
"""Maximum size of a key file. The supervisor sends all keys to a worker process in one message. If it did not
fit into the buffer of a pipe, a worker that hangs would block the supervisor."""

_NO_FILE = "The value must be the path of a file; a key itself belongs in FACE_API_KEYS"


@dataclass(frozen=True)
class KeyFile:
    """The keys that were read from a file. Nothing reads the file again, except another call of `read`.

    Attributes:
        path: the file.
        keys: the valid keys in it, at least one.
    """

    path: Path
    keys: frozenset[str] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """Read a file of keys, one per line. Blank lines and lines that begin with # are ignored.

        Args:
            path: the file.

        Returns:
            The file with its keys.

        Raises:
            ValueError: the file cannot be read, contains no key or an invalid one. The message contains no
                key. It does not contain the path either, which may be a key that was set by mistake.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "its name is invalid"
            raise ValueError(f"The file cannot be read: {reason}. {_NO_FILE}") from None
        except ValueError:  # a null byte in the path
            raise ValueError(_NO_FILE) from None
        if len(content) > _MAX_FILE_BYTES:
            raise ValueError(f"The file has more than {_MAX_FILE_BYTES} bytes")
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            raise ValueError("The file is not a text in UTF-8") from None
        numbered = {f"Line {number}": line.strip() for number, line in enumerate(lines, 1)}
        keys = _checked({place: line for place, line in numbered.items() if not line.startswith("#")})
        if not keys:
            raise ValueError("The file contains no API key. A line that begins with # is a comment")
        return cls(path, keys)

    def read_again(self) -> "KeyFile":
        """Return the file with the keys that it contains now.

        Raises:
            ValueError: as for `read`; or the file is now a pipe or a device, whose reading could block.
        """
        try:
            blocks = self.path.exists() and not self.path.is_file()
        except OSError:
            blocks = False  # `read` explains why
        if blocks:
            raise ValueError("The file is not a regular file")
        return KeyFile.read(self.path)


def parse_keys(text: str) -> frozenset[str]:
    """Return the keys of a text in which commas separate them.

    Raises:
        ValueError: the text contains no key or an invalid one. The message does not contain a key.
    """
    parts = text.replace("\n", ",").split(",")
    keys = _checked({f"Key {number}": part.strip() for number, part in enumerate(parts, 1)})
    if not keys:
        raise ValueError("The value contains no API key. Remove the variable to accept every client")
    return keys


class AcceptedKeys:
    """The keys that requests may send. They can be replaced while requests are checked.

    Args:
        keys: the valid keys.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = frozenset(map(_hash, keys))

    def __len__(self) -> int:
        return len(self._hashes)

    def replace(self, keys: Iterable[str]) -> bool:
        """Accept these keys from now on, and no others.

        Returns:
            Whether they differ from the previous keys.
        """
        previous, self._hashes = self._hashes, frozenset(map(_hash, keys))
        return previous != self._hashes

    def accepts(self, key: str) -> bool:
        """Return whether a key is valid. Its hash is compared with all hashes in constant time."""
        return bool(sum([hmac.compare_digest(_hash(key), known) for known in self._hashes]))


def _checked(keys: dict[str, str]) -> frozenset[str]:
    """Return the keys that are not empty.

    Args:
        keys: each key, by the place where it was found.

    Raises:
        ValueError: a key is too short, or cannot be sent in a header. The message names only its place.
    """
    for place, key in keys.items():
        fits = len(key) >= _MIN_LENGTH and key.isascii() and key.isprintable() and " " not in key
        if key and not fits:
            raise ValueError(
                f"{place} is invalid: a key must have {_MIN_LENGTH} or more ASCII characters without spaces"
            )
    return frozenset(filter(None, keys.values()))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
