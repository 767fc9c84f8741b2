"""What one call of an application came to: by weir's books, and by the upstream's own count."""

import json
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .environments import Environment, clean_environ
from .target import Target

CLIENT_LIMIT_S = 140
COMMAND_LIMIT_S = 60
# A call whose client left lingers 10 s before its upstream is cancelled.
END_LIMIT_S = 60
END_PAUSE_S = 0.5
# Of the table, beyond all that a run makes.
CALLS_MAX = 1_000


@dataclass(frozen=True)
class Client:
    name: str
    environment: Environment
    script: str
    more: tuple[str, ...] = ()

    def run(self, key: str, plan: list[dict]) -> list[dict]:
        command = [*self.environment.command(self.script), *self.more]
        environ = clean_environ() | {"CLIENT_KEY": key}
        done = subprocess.run(command, input=json.dumps(plan), env=environ, capture_output=True, text=True, timeout=CLIENT_LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: exit {done.returncode}: {done.stderr[-600:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Cell:
    """What one call of an application came to, behind one of the two."""

    requests: int
    calls: int
    upstream: int
    completed: int
    charges: int
    answered: bool
    ids: tuple[str, ...] = ()

    def flaws(self) -> str:
        """What is more than one; empty if nothing is."""
        counts = (("calls", self.calls), ("charges", self.charges), ("completed generations", self.completed))
        flaws = [f"{count} {what}" for what, count in counts if count > 1 or (what, count) == ("calls", 0)]
        return f"{', '.join(flaws)} ({', '.join(self.ids)})" if flaws else ""


def seen_upstream(target: Target) -> list[dict]:
    with urllib.request.urlopen(target.upstream_url.removesuffix("/v1") + "/sim/requests", timeout=COMMAND_LIMIT_S) as page:
        return json.load(page)["requests"]


def recorded(binary: Path, target: Target) -> list[dict]:
    command = [str(binary), "calls", "list", "--limit", str(CALLS_MAX), "--json", "--data", str(target.data)]
    done = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, timeout=COMMAND_LIMIT_S)
    if done.returncode != 0:
        raise RuntimeError(f"weir calls list: exit {done.returncode}: {done.stderr[-400:]}")
    return json.loads(done.stdout)["calls"]


def settled(binary: Path, target: Target) -> tuple[list[dict], list[dict]]:
    """All calls and all upstream requests, once none runs any more."""
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        calls, seen = recorded(binary, target), seen_upstream(target)
        running = [call for call in calls if call["state"] != "ended"] + [request for request in seen if request["ended"] == "running"]
        if not running or time.monotonic() > deadline:
            return calls, seen
        time.sleep(END_PAUSE_S)


def weir_cell(name: str, calls: list[dict], seen: list[dict], answered: bool) -> Cell:
    mine, asked = [call for call in calls if call["model"] == name], [request for request in seen if request["model"] == name]
    requests = sum(1 + len(call["requests"]) for call in mine)
    ended = sum(request["ended"] == "completed" and request["status"] == 200 for request in asked)
    ids = tuple(f"{call['id']} {call['status']} {call['error_code'] or '-'} charged {call['charged']} after {call['suspected_retry_of'] or '-'}" for call in mine)
    return Cell(requests, len(mine), len(asked), ended, sum(call["charged"] == "yes" for call in mine), answered, ids)


def plain_cell(name: str, seen: list[dict], answered: bool) -> Cell:
    """Whatever was not refused with an error status was taken on, and may be billed."""
    asked = [request for request in seen if request["model"] == name]
    ended = sum(request["ended"] == "completed" and request["status"] == 200 for request in asked)
    return Cell(len(asked), len(asked), len(asked), ended, sum(request["status"] in (0, 200) for request in asked), answered)
