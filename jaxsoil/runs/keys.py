"""Random keys that depend on a name and a root seed alone, so that adding a trial changes no other trial."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax


def stable_hash(text: str) -> int:
    """The first 32 bits of the SHA-256 of ``text``: the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def mark(text: str, n: int) -> str:
    """The first ``n`` hexadecimal digits of the SHA-256 of ``text``, to tell names apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:n]


def key_of(root: int, *names: object) -> jax.Array:
    """Random key of what ``names`` say: the root key folded with the stable hash of the names joined by "/".

    The names are one, such as the id of a trial ("ann/geeves/0"), or its parts ("ann", "geeves", 0); the key is a
    scalar one of JAX's default generator.
    """
    # JAX is imported here, so that files of configurations that hash a name stay quick to import.
    import jax

    return jax.random.fold_in(jax.random.key(root), stable_hash("/".join(map(str, names))))


def seed_of(root: int, *names: object) -> list[int]:
    """Seed of a NumPy generator for what ``names`` say: ``np.random.default_rng(seed_of(root, *names))``."""
    return [int(root), stable_hash("/".join(map(str, names)))]
