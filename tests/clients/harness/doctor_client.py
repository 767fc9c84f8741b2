"""`weir doctor client` in front of real clients: what it says of them is what they are known to do."""

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import browser
from .environments import NODE20, NODE22, PY2, PY3, Environment, clean_environ
from .outcome import Outcome, short
from .target import child, first_line, tail

READY_LIMIT_S = 60
# The longest run of one client: three told seconds, two silences, a few starts.
CLIENT_LIMIT_S = 120
# Every client bears it.
SILENCE_S = 3
# What the suites' clients are told to bear where nothing comes at all. A loaded machine may see them come late, so half of it must show.
PATIENCE_MS = 3_000
# One more line of the doctor's; it has come long before, but for a starved machine.
LINE_LIMIT_S = 60
KEY = "sk-proj-12345678-doctor-client"
SCRIPTS = "chat,long,code,429,503,cut,no_done,slow"
# Requests of one call; those of the others are one.
TRIES = {"429": 2, "503": 2, "slow": 2}


@dataclass(frozen=True)
class Heard:
    """What the doctor told of one run."""

    requests: list[dict]
    report: dict

    def of(self, script: str) -> list[dict]:
        return [request for request in self.requests if request["script"] == script]

    def client(self) -> dict:
        return next(client for client in self.report["clients"] if client["calls"])


@contextlib.contextmanager
def listening(binary: Path) -> Iterator[tuple[dict, Callable[[int], Heard]]]:
    """The doctor on a free port: its ready line, and what it heard once so many requests have ended and it is told to stop."""
    with tempfile.TemporaryDirectory(prefix="weir-listen-") as folder:
        log = Path(folder) / "stderr.log"
        command = [str(binary), "doctor", "client", "--listen", "127.0.0.1:0", "--silence", f"{SILENCE_S}s", "--json"]
        with child(command, clean_environ() | {"HOME": folder}, log) as process:
            line = first_line(process, READY_LIMIT_S)
            if not line:
                raise RuntimeError(f"no ready line\n{tail(log)}")

            def heard(requests: int) -> Heard:
                # A client that left is known to have left a moment after it is gone; one that is still there when the doctor stops is not.
                ended = list(itertools.takewhile(bool, (first_line(process, LINE_LIMIT_S) for _ in range(requests))))
                process.terminate()
                told = "".join(ended) + process.stdout.read().decode()
                if KEY in told or KEY in log.read_text():
                    raise RuntimeError("the key was shown")
                lines = [json.loads(line) for line in told.splitlines()]
                asked = sorted((line for line in lines if line["event"] == "request"), key=lambda request: request["n"])
                return Heard(asked, next(line for line in lines if line["event"] == "report"))

            yield json.loads(line), heard


@dataclass(frozen=True)
class Sdk:
    """One SDK: the name and version that it sends, and what it announces."""

    name: str
    environment: Environment
    script: str
    agent: str
    version: str
    announced_s: int
    """The one for Python always announces its read timeout, the one for Node only where it was set."""


SDKS = (
    Sdk("openai-py3", PY3, "listen_openai.py", "OpenAI/Python", "3.54.0", 600),
    Sdk("openai-py2", PY2, "listen_openai.py", "OpenAI/Python", "2.54.0", 600),
    Sdk("openai-node6", NODE20, "listen_openai.mjs", "OpenAI/JS", "6.49.0", PATIENCE_MS // 1_000),
    Sdk("openai-node7", NODE22, "listen_openai.mjs", "OpenAI/JS", "7.57.0", PATIENCE_MS // 1_000),
)


def flaw_of_sdk(binary: Path, sdk: Sdk) -> str:
    with listening(binary) as (ready, heard):
        command = [*sdk.environment.command(sdk.script), ready["base_url"], SCRIPTS]
        done = subprocess.run(command, env=clean_environ() | {"CLIENT_KEY": KEY}, capture_output=True, text=True, timeout=CLIENT_LIMIT_S)
        if done.returncode != 0:
            return f"exit {done.returncode}: {done.stderr[-600:]}"
        got, told = json.loads(done.stdout.splitlines()[-1]), heard(sum(TRIES.get(script, 1) for script in SCRIPTS.split(",")))
    client = told.client()
    tries = {script: [(request["status"], request["ended"]) for request in told.of(script)] for script in SCRIPTS.split(",")}
    read = ("whole", "at_marker")
    checks = {
        "its name and version": (client["name"], client["version"]) == (sdk.agent, sdk.version),
        "the flag": all(request["stream"] is True for request in told.requests),
        "the retry count": told.of("chat")[0]["client"].get("retry_header") == 0,
        "the announced timeout": client["announced_timeout_s"] == sdk.announced_s,
        "what is read is read to the end": all(len(tries[name]) == 1 and tries[name][0][1] in read for name in ("chat", "long", "code")),
        "the application got every word": all(got[name] == words for name, words in (("chat", 24), ("long", 24), ("code", 4_000), ("429", 24), ("503", 24))),
        "a 429 is waited out": [status for status, _ in tries["429"]] == [429, 200] and client["after_429"]["early"] == 0,
        "a 503 is retried": [status for status, _ in tries["503"]] == [503, 200],
        "a cut is not retried": tries["cut"] == [(200, "cut")] and isinstance(got["cut"], str),
        "a missing marker is not noticed": tries["no_done"] == [(200, "whole")] and got["no_done"] == 24,
        "giving up is measured, and the retry behind it": [ended for _, ended in tries["slow"]] == ["left", "left"] and client["gave_up"]["ms"] >= PATIENCE_MS // 2,
        "the verdict": told.report["primary"]["code"] == "W-CLIENT-003" and [note["code"] for note in told.report["notes"]] == ["W-CLIENT-004"],
    }
    wrong = [name for name, holds in checks.items() if not holds]
    return f"{', '.join(wrong)}: {short(got)} {tries} {client}" if wrong else ""


def flaw_of_curl(binary: Path) -> str:
    with listening(binary) as (ready, heard):
        for model, more in (("doctor-chat", []), ("doctor-slow", ["--max-time", "1.5"]), ("doctor-503", ["--retry", "1"])):
            body = json.dumps({"model": model, "stream": True, "messages": []})
            command = ["curl", "-sN", "--noproxy", "*", *more, "-H", f"Authorization: Bearer {KEY}", "--json", body, f"{ready['base_url']}/chat/completions"]
            subprocess.run(command, env=clean_environ(), stdout=subprocess.DEVNULL, timeout=CLIENT_LIMIT_S)
        told = heard(4)
    client = told.client()
    facts = (client["name"], [request["ended"] for request in told.requests], client["after_503"]["tries"], client["accept_encoding"])
    return "" if facts == ("curl", ["whole", "left", "refused", "whole"], 1, []) else short(facts)


def flaw_of_browser(binary: Path) -> str:
    """A page of another origin, as a chat application in a browser is one."""
    with listening(binary) as (ready, heard):
        port = ready["base_url"].removesuffix("/v1").rsplit(":", 1)[1]
        waits = "new Promise((done) => { const timer = setInterval(() => document.body.dataset.state === 'done' && (clearInterval(timer), done([...document.querySelectorAll('.said')].map((said) => said.textContent).reverse())), 50) })"
        with browser.opened(f"http://localhost:{port}/?lang=en&run=chat,long,cut&base={ready['base_url']}") as page:
            said = page.value(waits)
        # Their ends are what the page shows; how often it asks whether it may is the browser's business.
        told = heard(0)
    client = told.client()
    checks = {
        "the page": len(said) == 3 and "with end marker" in said[0] and "with end marker" in said[1] and said[2].startswith("broke after"),
        "the preflight": told.requests[0]["method"] == "OPTIONS",
        "a browser": client["browser"] and "Chrome" in client["name"],
        "what it accepts": {"gzip", "br"} <= set(client["accept_encoding"]),
        "the flag": client["streamed"] == client["calls"] == 3,
        "read to the end": [request["ended"] for request in told.requests if request["script"]] == ["whole", "whole", "cut"],
    }
    wrong = [name for name, holds in checks.items() if not holds]
    return f"{', '.join(wrong)}: {said} {client}" if wrong else ""


def outcomes(binary: Path, cases: list[str]) -> Iterator[Outcome]:
    flaws: dict[str, Callable[[], str]] = {sdk.name: lambda sdk=sdk: flaw_of_sdk(binary, sdk) for sdk in SDKS}
    flaws |= {"curl": lambda: flaw_of_curl(binary), "browser": lambda: flaw_of_browser(binary)}
    for name, flaw in flaws.items():
        if cases and name not in cases:
            continue
        if name == "browser" and not browser.found():
            why = "no chromium on this machine: apt-get install chromium"
            yield Outcome(f"doctor-client/{name}", why) if "CI" in os.environ else Outcome(f"doctor-client/{name}", skipped=why)
            continue
        missing = next((sdk.environment.missing() for sdk in SDKS if sdk.name == name), "")
        yield Outcome(f"doctor-client/{name}", skipped=missing) if missing else Outcome(f"doctor-client/{name}", flaw())
