"""How clients with their own retries take a 429: once where waiting a little is useless, and exactly as long as told where it helps."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from .environments import NODE20, NODE22, PY2, PY3, Environment, clean_environ
from .outcome import Outcome, short
from .target import Target, weir_up

# Most of the time is waiting: for processes to start, for limits to open.
AT_ONCE = 8
# A key may wait out a whole minute, and a client must start and end around it.
CLIENT_LIMIT_S = 200
COMMAND_LIMIT_S = 60
# What a command changes holds within a second; a loaded machine may need more.
KEY_LIMIT_S = 60
KEY_PAUSE_S = 0.1
# A record is there a moment after its client has the answer.
RECORD_LIMIT_S = 60
RECORD_PAUSE_S = 0.1
# Two zones whose midnights are nine hours apart, and how each writes one: the one whose midnight is farther off is asked for, so that no
# case meets it.
ZONES = (("Asia/Shanghai", 8), ("America/Phoenix", -7))


@dataclass(frozen=True)
class Client:
    """One client that retries by itself. `obeys`: it waits exactly as long as it is told."""

    name: str
    environment: Environment
    script: str
    obeys: bool = True

    def calls(self, url: str, key: str, model: str, times: int) -> list[dict]:
        """What the application got of each of its calls, whatever its client did for it. One process: how long one takes to start is no part of a case."""
        command = [*self.environment.command(self.script), url, model, str(times)]
        done = subprocess.run(command, env=clean_environ() | {"CLIENT_KEY": key}, capture_output=True, text=True, timeout=CLIENT_LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"exit {done.returncode}: {done.stderr[-600:]}")
        return [json.loads(line) for line in done.stdout.splitlines()][-times:]


CLIENTS = (
    Client("openai-py3", PY3, "patience_openai.py"),
    Client("openai-py2", PY2, "patience_openai.py"),
    Client("openai-node6", NODE20, "patience_openai.mjs"),
    Client("openai-node7", NODE22, "patience_openai.mjs"),
    Client("langchain-py", PY3, "patience_langchain.py"),
    # Its own loop takes a told wait as leave to try again, not as the time to wait.
    Client("langchain-node", NODE20, "patience_langchain.mjs", obeys=False),
)


@dataclass(frozen=True)
class Weir:
    """A gateway of this run, with the commands that make keys and read its books."""

    binary: Path
    target: Target

    def command(self, *words: str) -> dict:
        data = ("--data", str(self.target.data), "--json")
        done = subprocess.run([str(self.binary), *words, *data], env=clean_environ(), capture_output=True, text=True, timeout=COMMAND_LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"weir {' '.join(words)}: exit {done.returncode}: {done.stderr[-400:]}")
        return json.loads(done.stdout)

    def key(self, *limits: str) -> "Key":
        """A key that the gateway knows already."""
        made = self.command("key", "create", "--account", "demo", *limits)
        deadline = time.monotonic() + KEY_LIMIT_S
        while status(f"{self.target.weir_url}/weir/limits", made["key"]) != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"a new key is not known after {KEY_LIMIT_S} s")
            time.sleep(KEY_PAUSE_S)
        return Key(self, made["key"], made["kid"])

    def upstream(self, model: str) -> list[dict]:
        """The requests for `model` that the simulator received."""
        with urllib.request.urlopen(f"{self.target.upstream_url.removesuffix('/v1')}/sim/requests", timeout=COMMAND_LIMIT_S) as page:
            return [request for request in json.load(page)["requests"] if request["model"] == model]


@dataclass(frozen=True)
class Key:
    """A key of one case."""

    weir: Weir
    secret: str
    kid: str

    def calls(self, count: int) -> list[dict]:
        """Its calls, oldest first, once there are `count` and all have ended; what there is if that does not come."""
        deadline = time.monotonic() + RECORD_LIMIT_S
        while True:
            found = self.weir.command("calls", "list", "--key", self.kid)["calls"][::-1]
            if len(found) >= count and all(call["state"] == "ended" for call in found) or time.monotonic() > deadline:
                break
            time.sleep(RECORD_PAUSE_S)
        if (counted := self.weir.command("calls", "list", "--key", self.kid, "--count")["count"]) != len(found):
            raise RuntimeError(f"--count says {counted} for {len(found)} calls")
        return found


def status(url: str, key: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"}), timeout=COMMAND_LIMIT_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def farthest_midnight(now: datetime) -> tuple[str, str]:
    """A zone, and the end of its day as weir writes it."""
    def left(offset_h: int) -> timedelta:
        local = now.astimezone(timezone(timedelta(hours=offset_h)))
        return local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - local

    zone, offset_h = max(ZONES, key=lambda zone: left(zone[1]))
    return zone, f"T00:00:00{offset_h:+03d}:00"


def flaw_of_upstreams_day(weir: Weir, client: Client, n: int) -> str:
    """The upstream's daily quota is spent: the client asks once, and so does weir."""
    model = f"sim:tokens={100 + n},429_daily"
    key = weir.key()
    [got] = client.calls(weir.target.weir_url, key.secret, model, 1)
    if got["answered"] or got["status"] != 429:
        return f"a 429 was due: {short(got)}"
    asked, calls = len(weir.upstream(model)), len(key.calls(1))
    return "" if (calls, asked) == (1, 1) else f"the client made {calls} calls, weir asked {asked} times"


def flaw_of_keys_day(weir: Weir, client: Client, n: int) -> str:
    """The key's own quota is spent: one call, nothing upstream, and the application reads when it ends."""
    model = f"sim:tokens={200 + n}"
    zone, midnight = farthest_midnight(datetime.now(UTC))
    key = weir.key("--daily-requests", "1", "--zone", zone)
    first, got = client.calls(weir.target.weir_url, key.secret, model, 2)
    if not first["answered"]:
        return f"the first call of the day: {short(first)}"
    if (got["answered"], got.get("status"), got.get("code")) != (False, 429, "key_daily_quota_exceeded"):
        return f"a daily quota was due: {short(got)}"
    if not str(got.get("told")).endswith(midnight):
        return f"it does not tell the next midnight: {short(got)}"
    calls, asked = len(key.calls(2)), len(weir.upstream(model))
    return "" if (calls, asked) == (2, 1) else f"the two calls of the application were {calls}, {asked} upstream"


def flaw_of_keys_rate(weir: Weir, client: Client, n: int) -> str:
    """One call a minute: the client's second call is refused, waits as told, and is answered."""
    # The first answer takes a moment, so that less than a minute is left: the SDK for Node does not wait a whole one.
    model = f"sim:tokens={300 + n},first_byte=50ms"
    key = weir.key("--rpm", "1")
    for place, got in zip(("first", "second"), client.calls(weir.target.weir_url, key.secret, model, 2)):
        if not got["answered"]:
            return f"its {place} call: {short(got)}"
    calls = key.calls(3)
    if [call["status"] for call in calls] != [200, 429, 200]:
        return f"200, 429 and 200 were due: {[call['status'] for call in calls]}"
    told, came = (datetime.fromisoformat(text) for text in (calls[1]["limit"]["resetAt"], calls[2]["time"]))
    if came < told:
        return f"it was told {told} and came at {came}"
    asked = len(weir.upstream(model))
    return "" if asked == 2 else f"{asked} requests upstream for two answers"


def flaw_of_upstreams_rate(weir: Weir, client: Client, n: int) -> str:
    """The upstream asks for 3 s: whoever waits them, the upstream is asked once more, after them, and the client is answered."""
    model = f"sim:tokens={400 + n},429_hint_once=3s"
    [got] = client.calls(weir.target.weir_url, weir.key().secret, model, 1)
    asked = weir.upstream(model)
    if not got["answered"] or [request["status"] for request in asked] != [429, 200]:
        return f"429 and 200 were due upstream: {[request['status'] for request in asked]}, the client {short(got)}"
    waited = asked[1]["at_ms"] - asked[0]["at_ms"]
    return "" if waited >= 3_000 else f"the upstream was asked again after {waited} ms"


CASES: dict[str, Callable[[Weir, Client, int], str]] = {
    "r31-keys-rate": flaw_of_keys_rate,
    "r31-upstreams-rate": flaw_of_upstreams_rate,
    "r30-keys-day": flaw_of_keys_day,
    "r30-upstreams-day": flaw_of_upstreams_day,
}


def outcomes(binary: Path, cases: list[str]) -> Iterator[Outcome]:
    """Starts a gateway of its own. The cases that wait longest come first."""
    with weir_up(binary) as target, ThreadPoolExecutor(AT_ONCE) as pool:
        weir = Weir(binary, target)
        waiting = []
        for name, flaw in CASES.items():
            for n, client in enumerate(CLIENTS):
                useless = not client.obeys and "rate" in name
                if useless or cases and name not in cases and client.name not in cases:
                    continue
                if missing := client.environment.missing():
                    yield Outcome(f"patience/{name}/{client.name}", skipped=missing)
                    continue
                waiting.append((f"patience/{name}/{client.name}", pool.submit(flaw, weir, client, n)))
        for name, result in waiting:
            try:
                yield Outcome(name, result.result())
            except (RuntimeError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                yield Outcome(name, f"{type(error).__name__}: {error}")
