"""Ask the demo from many pages at a time, and compare every answer with the one that its recording has.

``python -m benchmarks.demo_load --minutes 10`` writes docs/results/demo_load.json; it needs Linux. Each request is a
new page, which uploads one of several recordings, all under one name. An answer is right if its depth in millimetres is
the model's own, and all else what the demo answers when nobody else asks; it is busy if the demo says so, else failed.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import torch

from benchmarks.integrity import make_models
from benchmarks.rooms import write_rooms
from echodepth.apps.demo.limits import KEPT_SESSIONS
from echodepth.core.atomic_io import atomic_write
from echodepth.inference.outputs import to_millimetres
from echodepth.inference.predictor import load_model
from echodepth.models.checkpoint import load_depth_model, save_model

KEPT = Path(__file__).resolve().parents[1] / "docs" / "results" / "demo_load.json"
CLIENTS = (1, 8, 32)
RECORDINGS = 12
PATIENCE = 300  # seconds
Answer = tuple[str, str]  # digests of the depth in millimetres, and of all else that depends on the recording


class Demo:
    """The demo's server as a page sees it."""

    def __init__(self, address: str) -> None:
        self.address = address
        config = httpx.get(f"{address}/config", timeout=PATIENCE).json()
        self.predict = next(each["id"] for each in config["dependencies"] if len(each["inputs"]) == 4)
        self.fov = next(each["props"]["value"] for each in config["components"] if each["type"] == "slider")

    def ask(self, recording: bytes) -> Answer | None:
        """The answer for a new page, None if too many wait; a RuntimeError or HTTPError if none comes."""
        with httpx.Client(base_url=f"{self.address}/gradio_api", timeout=PATIENCE) as client:
            uploaded = client.post("/upload", files={"files": ("recording.wav", recording)}).raise_for_status().json()
            file = {"path": uploaded[0], "meta": {"_type": "gradio.FileData"}, "orig_name": "recording.wav"}
            session = secrets.token_hex(8)
            body = {"data": [file, None, None, self.fov], "fn_index": self.predict, "session_hash": session}
            joined = client.post("/queue/join", json=body)
            if joined.status_code == 503:
                return None
            joined.raise_for_status()
            _, maps, cloud, spectrograms, slowed = self._wait(client, session)
            files = [client.get(f"/file={each['path']}").raise_for_status().content for each in (cloud, slowed)]
        millimetres = re.findall(r'data-metres="([^"]+)"', maps)
        rest = b"".join([maps.encode(), spectrograms.encode(), *files])
        return _digest(base64.b64decode(millimetres[0])), _digest(rest)

    def _wait(self, client: httpx.Client, session: str) -> list[Any]:
        with client.stream("GET", "/queue/data", params={"session_hash": session}) as stream:
            for line in filter(None, stream.iter_lines()):
                message = json.loads(line.removeprefix("data:"))
                if message["msg"] == "process_completed" and message["success"]:
                    return list(message["output"]["data"])
                if message["msg"] in ("process_completed", "unexpected_error"):
                    raise RuntimeError(line[:500])
        raise RuntimeError("the stream ended without an answer")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def served(model: Path, scratch: Path) -> Iterator[tuple[str, int]]:
    """Address and process number of a demo that has loaded a model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ["--checkpoint", str(model), "--device", "cpu", "--port", str(port)]
    command = [sys.executable, "-m", "echodepth", "demo", *flags]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(scratch / "gradio"), "OMP_NUM_THREADS": "1"}
    log = scratch / "demo.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=scratch, env=environment, stdout=output, stderr=output)
    try:
        while "the page is at" not in log.read_text():
            if server.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


def resident_megabytes(process: int) -> float:
    """Memory that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) / 1024, 1)


def ask_all(demo: Demo, answers: dict[bytes, Answer], clients: int, seconds: float) -> tuple[Counter[str], list[float]]:
    """Outcomes of all requests, and the seconds that each answer took, from its upload to its last file."""
    outcomes, latencies, lock = Counter(right=0, wrong=0, busy=0, failed=0), list[float](), threading.Lock()
    recordings, end = list(answers), time.monotonic() + seconds

    def be_a_client(number: int) -> None:
        while (begun := time.monotonic()) < end:
            recording = recordings[number % len(recordings)]
            number += 5  # neighbours never agree for long on a recording
            try:
                answer = demo.ask(recording)
                outcome = "busy" if answer is None else "right" if answer == answers[recording] else "wrong"
            except (RuntimeError, httpx.HTTPError) as error:
                outcome = "failed"
                print(f"failed: {error!r}", flush=True)
            with lock:
                outcomes[outcome] += 1
                if outcome in ("right", "wrong"):
                    latencies.append(time.monotonic() - begun)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(be_a_client, range(clients)))
    return outcomes, latencies


def make_model(folder: Path) -> Path:
    """An untrained model whose answers to different recordings differ by centimetres."""
    torch.manual_seed(0)
    model = load_depth_model(make_models(folder / "untrained", 4)[0])
    with torch.no_grad():
        model.network.get_parameter("head.conv.weight").mul_(1000)
    save_model(model, folder / "ears" / "best")
    return folder / "ears" / "best"


def known_answers(demo: Demo, model: Path, recordings: list[Path]) -> dict[bytes, Answer]:
    """The answer to each recording, asked for while nobody else asks; its depth is compared with the model's own."""
    predictor = load_model(str(model), device="cpu", compile="latency")
    answers = {}
    for path in recordings:
        depth = predictor.estimate([predictor.prepare(path)])[0].depth
        answer = demo.ask(path.read_bytes())
        if answer is None or answer[0] != _digest(to_millimetres(depth).astype("<u2").tobytes()):
            raise SystemExit(f"{path.name}: the demo's depth is not the model's")
        answers[path.read_bytes()] = answer
    if len({each[0] for each in answers.values()}) < len(recordings):
        raise SystemExit("two recordings have one answer, so that a mix-up would not show")
    return answers


def main() -> None:
    """Measure every number of clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length of each phase")
    minutes = parser.parse_args().minutes
    torch.set_num_threads(1)
    phases: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = make_model(scratch)
        recordings = sorted(write_rooms(scratch / "rooms", RECORDINGS).glob("*/audio/*.wav"))
        with served(model, scratch) as (address, process):
            demo = Demo(address)
            answers = known_answers(demo, model, recordings)
            for clients in CLIENTS:
                warm_up = 0
                while warm_up < KEPT_SESSIONS:  # until it keeps as many answers as it may
                    warm_up += ask_all(demo, answers, clients, 10)[0].total()
                before = resident_megabytes(process)
                outcomes, latencies = ask_all(demo, answers, clients, 60 * minutes)
                memory = {"begin_MB": before, "end_MB": resident_megabytes(process)}
                waits = {"median_s": round(median(latencies), 3), "p95_s": round(quantiles(latencies, n=20)[-1], 3)}
                phases[f"{clients} clients"] = {**outcomes, **waits, **memory}
                print(f"{clients:3} clients", phases[f"{clients} clients"], flush=True)
    with atomic_write(KEPT) as unfinished:
        machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[2], 1)}  # of the last quarter of an hour
        unfinished.write_text(json.dumps({"minutes": minutes, "phases": phases, **machine}, indent=2) + "\n")
    if any(each["wrong"] or each["failed"] or each["end_MB"] - each["begin_MB"] > 50 for each in phases.values()):
        raise SystemExit("an answer was wrong or missing, or the memory grew by more than 50 MB")


if __name__ == "__main__":
    main()
