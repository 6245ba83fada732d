"""A stable hash of names, from which seeds and random keys are made."""

from __future__ import annotations

import hashlib


def stable_hash(text: str) -> int:
    """The first 32 bits of the SHA-256 of ``text``: the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
