"""Threads of linear algebra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Within it linear algebra takes one thread: parts are worked on at a time, and threads that a library would start
    for the small products of each part would only wait for each other."""
    import scipy.linalg  # noqa: F401  # JAX factorises with its library, and only a loaded one is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
