"""Limits of the demo's server: foreign names and sites, large requests, a long queue, answers that nobody fetches."""

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from echodepth.apps.demo import app as pages
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.limits import KEPT_SESSIONS, LARGEST_REQUEST, QUEUE_SIZE, RequestGate, limit_queue
from echodepth.apps.demo.serving import serve
from echodepth.core.errors import ConfigError
from tests.tiny import save_tiny_rgb


def ask(names: set[str], body: bytes = b"", kind: str = "http", **headers: str | list[str]) -> tuple[int, bytes]:
    """Status of the answer, 0 for a closed socket, and what the application behind the gate received."""
    received, status = b"", 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        while (message := await receive())["type"] == "http.request":
            received += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    pieces = [body[start : start + 10**6] for start in range(0, len(body), 10**6)] or [b""]

    async def receive() -> Any:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    listed = [
        (name, each) for name, value in headers.items() for each in ([value] if isinstance(value, str) else value)
    ]
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in listed]
    asyncio.run(RequestGate(app, names)({"type": kind, "headers": encoded}, receive, send))
    return status, received


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "10.0.0.5", "demo.lab", "Demo.Lab:80", socket.gethostname()],
)
def test_the_pages_own_names_are_answered(host: str) -> None:
    assert ask({"demo.lab"}, host=host)[0] == 200
    assert ask({"demo.lab"}, host=host, origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7860", "", "a@127.0.0.1.x", "[::1", []]
)
def test_a_foreign_name_is_refused(host: str | list[str]) -> None:
    """A web page under its own name reached the demo of its visitor, and was answered (DNS rebinding)."""
    for kind, status in (("http", 403), ("websocket", 0)):
        assert ask({"demo.lab"}, kind=kind, host=host) == (status, b"")
    assert ask({"demo.lab"}, host=["127.0.0.1", "evil.example"])[0] == 403


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://localhost:7860",
        "http://evil.demo.lab",
        "http://[",
    ],
)
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    assert ask({"demo.lab", "127.0.0.1"}, b"x", host="127.0.0.1:7860", origin=origin) == (403, b"")
    assert ask({"demo.lab"}, host="127.0.0.1:7860", origin="https://demo.lab")[0] == 200  # behind a proxy


def test_large_requests_go_no_further() -> None:
    size = LARGEST_REQUEST
    for length in (str(size + 1), "-1", "1e9", "x", ["1", str(size + 1)]):
        assert ask(set(), bytes(1000), host="localhost", content_length=length) == (413, b"")
    assert ask(set(), bytes(size), host="localhost", content_length=str(size)) == (200, bytes(size))
    status, received = ask(set(), bytes(3 * size), host="localhost")  # its length was not said
    assert (status, len(received) <= size) == (413, True)


@pytest.mark.parametrize(
    ("body", "raises", "is_begun", "status", "lines"),
    [(b"x", True, False, 500, 1), (b"x", True, True, 200, 1), (bytes(LARGEST_REQUEST + 1), True, False, 413, 0)],
)
def test_a_request_that_the_pages_server_cannot_answer_is_one_line(
    body: bytes, raises: bool, is_begun: bool, status: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A request with an unknown number of a handler printed a traceback, and so did a large one in pieces."""
    got = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        if is_begun or message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError(99999)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        got.append(message.get("status"))

    scope = {"type": "http", "path": "/a\x1b[2J", "headers": [(b"host", b"localhost")]}
    asyncio.run(RequestGate(app, set())(scope, receive, send))
    assert [each for each in got if each] == [status]
    assert len(caplog.messages) == lines
    assert "\x1b" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Iterator[tuple[str, Any]]:
    pytest.importorskip("gradio", reason="pip install 'echodepth[demo]'")
    folder = tmp_path_factory.mktemp("page")
    save_tiny_rgb(folder / "eyes", v2_root)
    for port in range(7900, 7920):
        config = DemoConfig(str(folder / "eyes/best"), port=port, device="cpu")
        page = pages.open_page(config)
        try:
            address = serve(page, config).rstrip("/")
        except ConfigError:  # the port is in use
            continue
        yield address, page
        page.close()
        return
    pytest.skip("no port is free")


def test_the_server_is_behind_the_gate(served: tuple[str, Any]) -> None:
    import httpx

    address, _ = served
    assert httpx.get(f"{address}/config").status_code == 200
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        for method in ("GET", "POST", "OPTIONS"):
            preflight = {"access-control-request-method": "POST"} | headers
            answer = httpx.request(method, f"{address}/config", headers=preflight)
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]
    large = httpx.post(f"{address}/gradio_api/upload", files={"files": ("a.wav", bytes(LARGEST_REQUEST))})
    assert large.status_code == 413
    small = httpx.post(f"{address}/gradio_api/upload", files={"files": ("a.wav", bytes(1000))})
    assert small.status_code == 200


def result(address: str, data: list[Any], function: int) -> dict[str, Any]:
    """What a request to a handler of the page comes to."""
    import httpx

    body = {"data": data, "fn_index": function, "session_hash": secrets.token_hex(8)}
    httpx.post(f"{address}/gradio_api/queue/join", json=body).raise_for_status()
    with httpx.stream(
        "GET", f"{address}/gradio_api/queue/data?session_hash={body['session_hash']}", timeout=30
    ) as stream:
        messages = (json.loads(line.removeprefix("data:")) for line in stream.iter_lines() if line)
        last = next(each for each in messages if each["msg"] == "process_completed")
    return dict(last["output"])


def test_requests_that_no_page_sends_leave_no_traceback(
    served: tuple[str, Any], capfd: pytest.CaptureFixture[str], v2_root: Path
) -> None:
    import httpx

    address, page = served
    own_picture = next(v2_root.glob("*/camera/*.png"))
    function = next(number for number, each in page.fns.items() if len(each.inputs) == 4)
    url = f"{address}/gradio_api/upload"
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"
    uploaded = httpx.post(url, files={"files": ("room.jpg", eps)}).json()[0]
    meta = {"meta": {"_type": "gradio.FileData"}, "orig_name": "room.jpg"}
    picture = httpx.post(url, files={"files": ("room.png", own_picture.read_bytes())}).json()[0]
    assert "data-metres" in str(result(address, [None, {"path": picture, **meta}, None, 70], function)["data"])
    shown = str(result(address, [None, {"path": uploaded, **meta}, None, 70], function)["data"])
    assert "room.jpg cannot be read as an image: it is no PNG" in shown
    pictures: list[Any] = [
        {},
        {"path": str(own_picture)},
        [{"path": str(own_picture)}],
        {"path": None, "url": "data:image/png;base64,AAAA"},
    ]
    pictures += [{"path": path, **meta} for path in (str(own_picture), "x", "http://127.0.0.1:1/x")]
    for picture in pictures:  # Gradio read the first one with a path, an image of the machine that nobody uploaded
        assert "reload it" in result(address, [None, picture, None, 70], function)["error"]
    assert "greater than maximum value" in result(address, [None, None, None, 1000], function)["error"]
    for data in ([], [None, None, None, "x"], [None, None, None, [1]]):
        assert "reload it" in result(address, data, function)["error"]
    assert "Traceback" not in "".join(capfd.readouterr())


def waiting(queue: Any) -> set[str]:
    return {event.session_hash for each in queue.event_queue_per_concurrency_id.values() for event in each.queue}


def test_a_page_that_was_left_leaves_the_queue() -> None:
    gr = pytest.importorskip("gradio", reason="pip install 'echodepth[demo]'")
    import httpx

    done = threading.Event()
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Button().click(lambda: done.wait(60), None, gr.Textbox())
    limit_queue(page)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_port=None)
    function = next(iter(page.fns))

    def join(session: str) -> int:
        body = {"data": [], "fn_index": function, "session_hash": session}
        return httpx.post(f"{address}gradio_api/queue/join", json=body, timeout=30).status_code

    try:
        assert join("first") == 200
        while waiting(page._queue):  # until it is being answered, which holds up all others
            time.sleep(0.05)
        answers = [join(str(number)) for number in range(QUEUE_SIZE + 2)]
        assert answers == [200] * QUEUE_SIZE + [503] * 2
        with httpx.stream("GET", f"{address}gradio_api/queue/data?session_hash=3", timeout=30) as stream:
            next(stream.iter_lines())
        started = time.monotonic()
        while "3" in waiting(page._queue) and time.monotonic() < started + 30:
            time.sleep(0.05)
        assert waiting(page._queue) == {str(number) for number in range(QUEUE_SIZE)} - {"3"}
        assert join("next") == 200
    finally:
        done.set()
        page.close()


def test_the_queue_is_short_and_answers_are_not_kept(served: tuple[str, Any]) -> None:
    """3,411 requests waited, and each answer stayed in memory."""
    import httpx

    address, page = served
    queue = page._queue
    assert (queue.max_size, queue.pending_messages_per_session.max_size) == (QUEUE_SIZE, KEPT_SESSIONS)
    assert page.state_session_capacity == KEPT_SESSIONS
    queue.max_size = 0
    try:
        function = next(iter(page.fns))
        body = {"data": [], "fn_index": function, "session_hash": "a"}
        answer = httpx.post(f"{address}/gradio_api/queue/join", json=body)
        assert answer.status_code == 503
        assert "full" in answer.text.lower()
    finally:
        queue.max_size = QUEUE_SIZE
