"""Load on `pskd serve`: many live streams at once, from sample to prediction, none lost.

The server runs as users start it. A second process holds all clients: each sends a simulated
person, another part of it for every stream, 50 samples a second in messages that are due at their
own times. An offline `Recognizer` that is given the same messages says which of them complete a
window and what is predicted; the latency is the time from the moment before such a message is sent
to its prediction being read. A prediction that is missing, too many or another is lost.

Bad clients, where a case has them: one half sends 1,000 samples a second and never reads an answer,
the other half as many and reads two answers a second.

Example: python benchmarks/serve_load.py runs/demo --streams 200 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from pskd.edge.page.person import simulate_person
from pskd.stream.recognizer import Recognizer
from pskd.stream.runtime import Student, open_student
from pskd.stream.wire import encode_samples, prediction_json

Part = tuple[np.ndarray, np.ndarray, str | bytes]
"""Acceleration, times, and the message that carries them."""

RATE = 50
HELLO = json.dumps({"type": "hello", "version": 1, "unit": "g"})
BAD_RATE, BAD_SAMPLES = 1000, 100
CASES = (
    ("JSON, 5 samples a message", 5, "json", False),
    ("binary, 5 samples a message", 5, "binary", False),
    ("JSON, 1 sample a message", 1, "json", False),
    ("JSON, 5 samples, and 5 % bad clients", 5, "json", True),
)
TICKS = os.sysconf("SC_CLK_TCK")


def messages(x: np.ndarray, size: int, kind: str) -> list[Part]:
    """Cut a recording into messages."""
    made = []
    for k in range(0, len(x) - size + 1, size):
        part = x[k : k + size].round(4)
        if kind == "json":
            times = np.arange(k, k + size) / RATE
            rows = np.column_stack([times, part]).tolist()
            made.append((part.astype(np.float32), times, json.dumps({"samples": rows})))
        else:
            message = encode_samples(part, k / RATE, 1 / RATE)
            times = k / RATE + np.arange(size) * float(np.float32(1 / RATE))
            made.append((part.astype(np.float32), times, message))
    return made


def _frame(message: str | bytes) -> bytes:
    """A message as it goes over the network."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    data = message.encode() if isinstance(message, str) else message
    return Frame(opcode, data).serialize(mask=True)


class Stream:
    """One good client.

    Args:
        student: That the server has too.
        parts: What is sent.
    """

    def __init__(self, student: Student, parts: list[Part]) -> None:
        self.parts = parts
        self.latencies: list[float] = []
        self.late: list[float] = []
        """By how much messages were sent too late, s: the fault of this process."""
        self.got: list[dict] = []
        # Made beforehand: this process is to be no bottleneck.
        self._frames = [_frame(message) for _, _, message in parts]
        offline = Recognizer(student.runner, student.config, student.settings)
        found = [(k, p) for k, (x, times, _) in enumerate(parts) for p in offline.push(x, times)]
        self.completed_by = [k for k, _ in found]
        wanted = [p for _, p in found] + offline.finish()
        self.wanted = [json.loads(json.dumps(prediction_json(p))) for p in wanted]

    async def open(self, url: str) -> None:
        """Connect and be greeted."""
        self._socket = await connect(url, compression=None, max_queue=None)
        await self._socket.send(HELLO)
        assert json.loads(await self._socket.recv())["type"] == "ready"

    async def run(self, start: float) -> None:
        """Send everything when it is due, from a time on."""
        self._sent: list[float] = []
        reading = asyncio.create_task(self._read())
        step = len(self.parts[0][0]) / RATE
        for k, frame in enumerate(self._frames):
            await asyncio.sleep(start + k * step - time.perf_counter())
            self._sent.append(time.perf_counter())
            self.late.append(self._sent[-1] - start - k * step)
            self._socket.transport.write(frame)
        await self._socket.send('{"type":"finish"}')
        await asyncio.wait_for(reading, 30)
        await self._socket.close()

    @property
    def lost(self) -> int:
        """Predictions that did not come, or came otherwise."""
        same = sum(a == b for a, b in zip(self.got, self.wanted, strict=False))
        return max(len(self.got), len(self.wanted)) - same

    async def _read(self) -> None:
        async for text in self._socket:
            now, answer = time.perf_counter(), json.loads(text)
            if answer["type"] == "done":
                return
            if answer["type"] != "prediction":
                raise RuntimeError(text)
            if len(self.got) < len(self.completed_by):
                self.latencies.append(now - self._sent[self.completed_by[len(self.got)]])
            self.got.append(answer)


async def bad(url: str, parts: list[Part], start: float, seconds: float, reads: bool) -> None:
    """One client that does not keep up with its answers, or reads none."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((urlsplit(url).hostname, urlsplit(url).port))
    narrow.setblocking(False)
    with suppress(ConnectionClosed):
        async with connect(
            url, sock=narrow, compression=None, max_queue=1, close_timeout=1
        ) as link:
            await link.send(HELLO)
            for k, (_, _, message) in enumerate(parts):
                due = start + k * BAD_SAMPLES / BAD_RATE
                if due > start + seconds:
                    break
                await asyncio.sleep(max(0, due - time.perf_counter()))
                await link.send(message)
                if reads and k % 5 == 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(link.recv(), 0.01)


async def clients(url: str, run: Path, streams: int, seconds: float, case: int) -> None:
    """All clients of a case; prints what they measured as JSON."""
    _, size, kind, with_bad = CASES[case]
    student = open_student(run)
    person = simulate_person(student.config.classes).acceleration
    person = np.tile(person, (int(seconds * RATE / len(person)) + 2, 1))
    loads = [
        messages(np.roll(person, 37 * k, axis=0)[: int(seconds * RATE)], size, kind)
        for k in range(streams)
    ]
    bad_load = messages(np.tile(person, (BAD_RATE // RATE, 1)), BAD_SAMPLES, "json")
    good = [Stream(student, load) for load in loads]
    for one in good:
        await one.open(url)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    start = time.perf_counter() + 1
    phases = np.random.default_rng(0).uniform(0, student.config.hop_seconds, streams)
    bad_ones = range(streams // 20 if with_bad else 0)
    await asyncio.gather(
        *(one.run(start + phase) for one, phase in zip(good, phases, strict=True)),
        *(bad(url, bad_load, start, seconds, reads=k % 2 == 0) for k in bad_ones),
    )
    merged = {key: [v for one in good for v in getattr(one, key)] for key in ("latencies", "late")}
    print(json.dumps(merged | {"lost": sum(one.lost for one in good)}))


def cpu_seconds(pid: int) -> np.ndarray:
    """Time that a process has had of all cores, and that its main thread has waited for one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return np.array([(int(fields[11]) + int(fields[12])) / TICKS, waited])


def measure(run: Path, streams: int, seconds: float, case: int) -> list[str]:
    """A row of the table."""
    serve = [Path(sys.executable).with_name("pskd"), "serve", run, "--port", "0"]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = re.search(r"http(\S+)", server.stdout.readline())
        assert url, "the server did not start"
        command = [sys.executable, __file__, run, "--streams", streams, "--seconds", seconds]
        client = subprocess.Popen(
            [*map(str, command), "--case", str(case), "--client", f"ws{url[1]}/stream"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout
        assert client.stdout.readline() == "ready\n", "the clients did not start"
        time.sleep(1 + seconds / 4)
        before, at = cpu_seconds(server.pid), time.perf_counter()
        time.sleep(seconds / 2)
        cpu = (cpu_seconds(server.pid) - before) / (time.perf_counter() - at)
        load = os.getloadavg()[0]
        text = client.stdout.read()
        assert client.wait() == 0, "a client failed"
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0, "the server did not end well"
    found = json.loads(text)
    p50, p99 = np.percentile(found["latencies"], [50, 99]) * 1e3
    return [
        CASES[case][0],
        f"{p50:.1f}",
        f"{p99:.1f}",
        f"{max(found['latencies']) * 1e3:.0f}",
        f"{len(found['latencies']):,}",
        str(found["lost"]),
        f"{100 * cpu[0]:.0f}",
        f"{100 * cpu[1]:.0f}",
        f"{np.percentile(found['late'], 99) * 1e3:.1f}",
        f"{load:.1f}",
    ]


def main() -> None:
    """Run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--case", type=int, help="one case alone")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.client:
        asyncio.run(clients(asked.client, asked.run, asked.streams, asked.seconds, asked.case))
        return
    packages = ("uvicorn", "websockets", "starlette", "numpy", "onnxruntime")
    print(f"{asked.streams} streams of {RATE} Hz for {asked.seconds:g} s;", end=" ")
    print(f"Python {sys.version.split()[0]},", ", ".join(f"{p} {version(p)}" for p in packages))
    print("\n| case | p50 ms | p99 ms | max ms | predictions | lost | server CPU % | "
          "it waited for a core % | p99 client late ms | load |")  # fmt: skip
    print("|---|" + "---:|" * 9)
    for case in range(len(CASES)) if asked.case is None else [asked.case]:
        row = measure(asked.run, asked.streams, asked.seconds, case)
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
