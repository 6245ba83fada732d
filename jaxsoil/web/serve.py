"""``jaxsoil serve``: starts the page of a bundle on this machine."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path
from typing import Any

from jaxsoil.runs.errors import UsageError

HOST, PORT = "127.0.0.1", 8765


def add_options(parser: Any) -> None:
    """Adds the options of the command to its parser."""
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", type=Path, help="folder of the bundle, such as runs/region_out-fields/bundle")
    add("--host", default=HOST, help=f"address to listen at (default: {HOST}, which only this machine reaches)")
    add("--port", type=int, default=PORT, help=f"port to listen at; 0 takes a free one (default: {PORT})")


def main(folder: Path, host: str, port: int) -> int:
    """Serves the page of a bundle until it is interrupted; returns the exit status.

    Raises:
      UsageError: the extra ``web`` is missing; the port is in use or may not be used; the host is not this machine's.
      DataError: there is no bundle.
    """
    require()
    import uvicorn

    from jaxsoil.bundle.bundle import Bundle
    from jaxsoil.web.answer import warm
    from jaxsoil.web.app import make_app

    with listening(host, port) as open_socket:
        bundle = Bundle.load(folder)
        if bundle.warning:
            print(f"warning: {bundle.warning}", file=sys.stderr)
        if not (host in ("localhost", "::1") or host.startswith("127.")):
            words = f"everyone who can reach {host} can use this page; it asks for no password."
            print(f"warning: {words}", file=sys.stderr)
        warm(bundle)
        shown = f"[{host}]" if ":" in host else host
        print(f"Bundle {bundle.name}: http://{shown}:{open_socket.getsockname()[1]}/ (stop with Ctrl+C)", flush=True)
        config = uvicorn.Config(
            make_app(bundle, host), log_level="warning", server_header=False, proxy_headers=False, lifespan="off",
            ws="none",
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[open_socket])
    return 0


def require() -> None:
    """Raises UsageError where the libraries of the page are not installed."""
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        remedy = "pip install 'jaxsoil[web]'. `jaxsoil predict` does without."
        raise UsageError(f"The page needs {error.name}, of the extra 'web': {remedy}") from error


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; UsageError where there can be none."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: give a number up to 65535, such as {PORT}, or 0 for a free one.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: there is no such address. Give one of this machine, or none.") from error
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen()
    except OSError as error:
        found.close()
        raise UsageError(_reason(error, host, port)) from error
    return found


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} at {host} is in use. Stop what uses it, or choose another: --port {port + 1}, or --port 0."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by you. Choose one above 1023, such as --port {PORT}."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine. Give one that is, or leave it out."
    return f"The page cannot listen at {host}, port {port}: {error.strerror or error}. Choose --host and --port anew."
