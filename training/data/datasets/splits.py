"""Splits by a hash of the name: adding samples to a set moves none of the others to another split."""

import hashlib


def hash_number(name: str, seed: int) -> int:
    """Return a number in [0, 2**64) that depends on the name and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8])


def is_held_out(name: str, share: float, seed: int) -> bool:
    """Return whether a sample belongs to the share of the set that is held out for validation."""
    return hash_number(name, seed) < share * 2**64
