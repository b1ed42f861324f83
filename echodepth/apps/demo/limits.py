"""Limits of the demo's server: who may ask, how much may be sent, and how much is kept."""

import ipaddress
import json
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import gradio

log = logging.getLogger(__name__)

LARGEST_UPLOAD = 10_000_000
"""Bytes of the largest file."""
LARGEST_REQUEST = LARGEST_UPLOAD + 100_000
"""Bytes of the largest request: a file and what surrounds it in a form."""
QUEUE_SIZE = 32
"""Requests that wait; further ones are told at once that the page is busy."""
KEPT_SESSIONS = 64
"""Pages whose answers are kept in memory, the latest ones: more than can wait or be answered at a time."""
UPLOAD_LIFETIME = 3600
"""Seconds after which uploads and results are deleted from the disk."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def limit_queue(page: "gradio.Blocks") -> None:
    """Bound the requests that wait, and the answers that are kept for pages that never fetch them."""
    page.queue(max_size=QUEUE_SIZE)
    kept = page._queue.pending_messages_per_session
    page._queue.pending_messages_per_session = type(kept)(KEPT_SESSIONS)


class RequestGate:
    """An ASGI application in front of another: requests of other sites, and too large ones, go no further.

    A browser names in ``Host`` the server that it believes to ask, and in ``Origin`` the page that asks. A foreign
    ``Host`` is how a web page reaches servers on its visitor's machine under its own name (DNS rebinding), and a
    foreign ``Origin`` is another site's page. Addresses in numbers are no one's name and are allowed.

    Args:
        app: the application.
        names: of this server, besides its addresses, ``localhost`` and the machine's own name. Names may be added.
    """

    def __init__(self, app: Application, names: set[str]) -> None:
        self.app = app
        self.names = names
        self.machine = socket.gethostname().lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or 413, or hand the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins, lengths = (headers.get(name, []) for name in ("host", "origin", "content-length"))
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            await _refuse(scope, send, 403, "this page is served under another name: name it with --allowed_hosts")
        elif not all(self._is_same(origin, hosts[0]) for origin in origins):
            await _refuse(scope, send, 403, "pages of other sites may not use this one")
        elif any(not length.isascii() or not length.isdigit() or int(length) > LARGEST_REQUEST for length in lengths):
            await _refuse(scope, send, 413, f"files have at most {LARGEST_UPLOAD / 1e6:g} MB")
        else:
            await self._hand_on(scope, receive, send)

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, unless its request turns out to be too large. Its failure is one line of log."""
        exchange = _Exchange(receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:  # of Gradio's routes, by a request that no page sends: handlers have their own log
            if not exchange.is_large:
                log.warning("no answer to %.200r: %.200r", scope.get("path", ""), error)
                log.debug("the failure in full", exc_info=error)
            if not exchange.is_answered and not exchange.is_large:
                await _refuse(scope, send, 500, "this request cannot be answered")
        if exchange.is_large and not exchange.is_answered:
            await _refuse(scope, send, 413, f"files have at most {LARGEST_UPLOAD / 1e6:g} MB")

    def _is_own(self, host: str) -> bool:
        name = _host_name(f"//{host}")
        return name is not None and (name in self.names or name in ("localhost", self.machine) or _is_address(name))

    def _is_same(self, origin: str, host: str) -> bool:
        """Whether a page is this server's own. Another port of one machine is another site."""
        name = _host_name(origin)
        is_named = name in self.names and name != "localhost" and not _is_address(name or "")
        return urlsplit(origin).netloc.lower() == host.lower() or is_named if name is not None else False


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Exchange:
    """A request whose body ends at the limit, after that as if the client had gone, and the answer to it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._received = 0
        self.is_answered = False

    @property
    def is_large(self) -> bool:
        return self._received > LARGEST_REQUEST

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.is_large else message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.is_answered or not self.is_large:  # the answer to half a request says nothing of its size
            self.is_answered = True
            await self._send(message)


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
