"""Both sides of a comparison: the upstream and weir in front of it, started here or already running."""

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .environments import clean_environ

# weir answers within a fraction of a second; a loaded machine may need some.
READY_LIMIT_S = 60
STOP_LIMIT_S = 10


@dataclass(frozen=True)
class Target:
    """Where clients go. `upstream_url` and `weir_url` end in `/v1`."""

    upstream_url: str
    weir_url: str
    key: str
    log: Path | None = None
    data: Path | None = None

    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("direct", self.upstream_url), ("weir", self.weir_url)


# The servers that this run started and has not ended.
running: list[subprocess.Popen] = []


def end_all() -> None:
    """Ends what still runs, for a run that is cut short itself: its clients fail with their servers."""
    for process in list(running):
        process.terminate()


@contextlib.contextmanager
def child(command: list[str], environ: dict[str, str], log: Path, told: Path = Path(os.devnull)) -> Iterator[subprocess.Popen]:
    """A process of ours, ended on the way out however the way out is taken; it reads `told`, stderr goes to `log`."""
    with open(log, "ab") as errors, open(told, "rb") as words:
        process = subprocess.Popen(command, stdin=words, stdout=subprocess.PIPE, stderr=errors, env=environ)
    running.append(process)
    try:
        yield process
    finally:
        running.remove(process)
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def first_line(process: subprocess.Popen, limit_s: float) -> str:
    """The first line on stdout; an empty one if the process ended or stayed silent for `limit_s`."""
    deadline = time.monotonic() + limit_s
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0, deadline - time.monotonic())):
            byte = process.stdout.read1(1)
            if not byte:
                break
            line += byte
    return line.decode() if line.endswith(b"\n") else ""


def lines(process: subprocess.Popen, limit_s: float) -> Iterator[str]:
    """The lines on stdout, until the process ends or is silent for `limit_s`: how long it takes in all is the machine's business."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(limit_s) and (piece := process.stdout.read1()):
            *whole, rest = (rest + piece).split(b"\n")
            yield from map(bytes.decode, whole)


@contextlib.contextmanager
def weir_up(binary: Path, more: tuple[str, ...] = (), environ: dict[str, str] | None = None) -> Iterator[Target]:
    """`weir up` on a fresh data directory and a free port, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="weir-clients-") as folder:
        log = Path(folder) / "stderr.log"
        command = [str(binary), "up", "--data", f"{folder}/data", "--listen", "127.0.0.1:0", "--json", *more]
        with child(command, clean_environ() | (environ or {}), log) as process:
            line = first_line(process, READY_LIMIT_S)
            if not line:
                raise RuntimeError(f"weir up printed no ready line\n{tail(log)}")
            ready = json.loads(line)
            yield Target(ready.get("sim_url", ""), ready["base_url"], ready["api_key"], log, Path(folder) / "data")


def tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
