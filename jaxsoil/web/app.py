"""The page: a form for files, and what a bundle says of them.

A request leaves nothing behind: its files lie in a temporary folder until it is answered. The page loads nothing from
elsewhere, and its one script only makes it handier.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import ipaddress
import socket
import tempfile
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jaxsoil.bundle.describe import describe
from jaxsoil.bundle.predict import LEVEL
from jaxsoil.data.readers.instruments.reading import QUANTITIES, UNITS
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.web import uploads
from jaxsoil.web.answer import MOST_CARDS, Answer, answer

if TYPE_CHECKING:
    import jinja2
    from starlette.applications import Starlette
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from jaxsoil.bundle.bundle import Bundle

LEVELS = (0.8, 0.9, 0.95)
"""Nominal coverages that the form offers."""

NAMED = {"nm": "nm", "cm-1": "cm⁻¹", "um": "µm"}

HEADERS = {
    # A form of the page answers with the page, and nothing on it comes from elsewhere or runs but its own script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the form asks beside the files.

    Attributes:
      model: name of a model of the bundle.
      level: nominal coverage of the intervals.
      quantity, unit: of the files, "" where they say it.
    """

    model: str
    level: float = LEVEL
    quantity: str = ""
    unit: str = ""

    @classmethod
    def of(cls, form: FormData, bundle: Bundle) -> Choices:
        """What a form says; UsageError for anything that the page does not offer."""
        said = {name: str(form.get(name) or "") for name in ("model", "level", "quantity", "unit")}
        levels = {f"{level:g}": level for level in LEVELS}
        offered = {"model": bundle.models, "level": levels, "quantity": QUANTITIES[:3], "unit": UNITS}
        for name, options in offered.items():
            if said[name] and said[name] not in options:
                raise UsageError(f"'{uploads.clean(said[name], 40)}' is no {name}. {did_you_mean(said[name], options)}")
        level = levels.get(said["level"], LEVEL)
        return cls(said["model"] or bundle.default, level, said["quantity"], said["unit"])


def make_app(bundle: Bundle, host: str) -> Starlette:
    """The application of a bundle.

    The page may be asked for under the name of ``host``, beside this machine's own names and addresses.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import Response
    from starlette.routing import Route

    page, own = Page(bundle), {"localhost", host.lower(), socket.gethostname().lower()}

    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        problem = stranger(request, own)
        found = page.problem(problem, 403) if problem else await go_on(request)
        found.headers.update(HEADERS)
        return found

    def static(name: str, kind: str) -> Route:
        content = resources.files("jaxsoil.web").joinpath("static", name).read_bytes()

        async def file(request: Request) -> Response:
            return Response(content, media_type=kind)

        return Route(f"/{name}", file)

    async def missing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return page.problem("There is no such page here.", status)

    async def failed(request: Request, error: Exception) -> Response:
        found = page.problem("The page failed. The window in which it was started says more.", 500)
        found.headers.update(HEADERS)
        return found

    routes = [Route("/", page.home), Route("/", page.predict, methods=["POST"])]
    return Starlette(
        routes=[*routes, *(static(name, kind) for name, kind in STATIC.items())],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={HTTPException: missing, Exception: failed},
    )


class Page:
    """Answers of the page of a bundle, one prediction at a time."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._described = bundle, describe(bundle)
        self._turn = asyncio.Lock()

    async def home(self, request: Request) -> Response:
        """The form."""
        return self._write(Choices(self._bundle.default))

    async def predict(self, request: Request) -> Response:
        """What came of the files of a form."""
        from starlette.concurrency import run_in_threadpool

        try:
            form = await uploads.received(request)
        except UsageError as error:
            return self.problem(str(error), 413 if isinstance(error, uploads.TooLarge) else 400)
        try:
            files = [
                (item.filename, item.file)
                for item in form.getlist("files")
                if not isinstance(item, str) and item.filename
                if not item.filename.replace("\\", "/").rsplit("/", 1)[-1].startswith(".")
            ]
            choices = Choices.of(form, self._bundle)
            if not files:
                raise UsageError("No file was sent. Choose files, then press Predict.")
            async with self._turn:
                found = await run_in_threadpool(self._answer, files, choices)
        except (UsageError, DataError) as error:
            return self.problem(str(error), 400)
        finally:
            await form.close()
        return self._write(choices, answer=found)

    def problem(self, text: str, status: int) -> Response:
        """The form with what is wrong."""
        return self._write(Choices(self._bundle.default), status, problem=text)

    def _answer(self, files: list[tuple[str, Any]], choices: Choices) -> Answer:
        with tempfile.TemporaryDirectory(prefix="jaxsoil-web-") as folder:
            written = uploads.write(files, Path(folder))
            said: Any = {"quantity": choices.quantity or None, "unit": choices.unit or None}
            return answer(self._bundle, written, model=choices.model, level=choices.level, **said)

    def _write(
        self, choices: Choices, status: int = 200, *, answer: Answer | None = None, problem: str = ""
    ) -> Response:
        from starlette.responses import Response

        content = _template().render(
            bundle=self._bundle, described=self._described, choices=choices, answer=answer, problem=problem,
            warning=self._bundle.warning,
            quantity_names=[(name, name.replace("_", " in ").replace("percent", "%")) for name in QUANTITIES[:3]],
            unit_names=[(name, NAMED[name]) for name in UNITS],
            model_names=[(name, name) for name in self._bundle.models],
            level_names=[(f"{level:g}", f"{100 * level:g} %") for level in LEVELS],
            limits=uploads, most_cards=MOST_CARDS,
        )  # fmt: skip
        return Response(content.encode("utf-8", "replace"), status, media_type="text/html")


def stranger(request: Request, own: set[str]) -> str:
    """Why a request is refused: another site sent it, or reached this machine under a name of its own; "" if neither.

    ``own``: the names under which this machine may be asked, in small letters.

    A site can point its own name at this machine and so ask as if it were itself (DNS rebinding); then the name in the
    request is the site's. An address is no name that a site could own.
    """
    said = request.headers.get("host", "")
    try:
        name = urlsplit(f"//{said}").hostname or ""
    except ValueError:
        name = ""
    if name not in own and not _is_address(name):
        return "This page answers only under the address that it printed when it was started."
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
    if request.method not in ("GET", "HEAD") and (
        (origin is not None and origin.partition("://")[2] != said) or site not in ("same-origin", "none")
    ):
        return "Another site sent this form. Open the page itself and send the files from there."
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    text = resources.files("jaxsoil.web").joinpath("templates", "page.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    return environment.from_string(text)
