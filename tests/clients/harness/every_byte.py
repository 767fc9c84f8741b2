"""The upstream cut at every byte of a stream: by hand, then by each SDK. None may take it for a whole answer, and the record says who cut."""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .environments import NODE20, NODE22, PY2, PY3, Environment, clean_environ
from .families import FAMILIES, Family, whole_events
from .outcome import Outcome, short
from .target import Target, child, lines, tail

# Every kind of event comes, and the stream is no longer than that needs.
TOKENS = 3
# Calls at once: cuts before the first event may be tried again after a pause, so most of the time is waiting.
AT_ONCE = 16
# Offsets are tried until this many in a row give a whole answer.
BATCH = 64
OFFSET_MAX = 65_536
CALL_LIMIT_S = 60
# Of an SDK: between two ends of streams, of which it has sixteen at once. All of them take a minute, or many on a busy machine.
SILENCE_LIMIT_S = 120
# A record is sealed when its call is over, which may be a moment after the client saw the end.
RECORD_LIMIT_S = 60
RECORD_PAUSE_S = 0.02
# Flaws of one kind tend to be one bug: this many are shown of each family.
SHOWN = 3

SDKS: tuple[tuple[str, Environment, str, tuple[str, ...]], ...] = (
    ("openai-py3", PY3, "cut_openai.py", ("chat", "completions", "responses")),
    ("openai-py2", PY2, "cut_openai.py", ("chat", "completions", "responses")),
    ("openai-node6", NODE20, "cut_openai.mjs", ("chat", "completions", "responses")),
    ("openai-node7", NODE22, "cut_openai.mjs", ("chat", "completions", "responses")),
    ("anthropic-py", PY3, "cut_anthropic.py", ("messages",)),
)


def model_of(offset: int) -> str:
    return f"sim:tokens={TOKENS},cut_bytes={offset}"


@dataclass(frozen=True)
class Answer:
    """What came back, byte for byte. `clean`: the framing of the body was complete."""

    status: int
    request_id: str
    body: bytes
    clean: bool


connections = threading.local()


def connection_to(url: str) -> http.client.HTTPConnection:
    """This thread's connection; one that was cut opens itself again."""
    held = vars(connections).setdefault("held", {})
    place = urlsplit(url).netloc
    if place not in held:
        held[place] = http.client.HTTPConnection(place, timeout=CALL_LIMIT_S)
    return held[place]


def call(url: str, key: str, method: str = "POST", body: bytes | None = None, reuse: bool = False) -> Answer:
    """One request. Only weir is trusted with `reuse`: an upstream may close after an answer without a word (llama.cpp's server does)."""
    connection = connection_to(url)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request(method, urlsplit(url).path, body, headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException):
        connection.close()
        return Answer(0, "", b"", False)
    received, clean = b"", True
    try:
        while piece := response.read1():
            received += piece
        clean = not response.length
    except (OSError, http.client.HTTPException):
        clean = False
    # Closing the answer frees the connection for the next call; one that broke is opened anew.
    response.close()
    if not (clean and reuse):
        connection.close()
    return Answer(response.status, response.headers.get("x-request-id", ""), received, clean)


def is_whole(family: Family, direct: Answer) -> bool:
    events = whole_events(direct.body)
    return bool(events) and family.ends(events[-1])


def flaw_of_answer(family: Family, direct: Answer, weir: Answer) -> str:
    """What is wrong with weir's answer to a stream of which `direct` came through."""
    passed = family.passed(direct.body)
    events = whole_events(weir.body)
    errors = [event for event in events if family.error(event) is not None]
    if not weir.clean:
        return f"status {weir.status}, the body ends without its framing"
    if is_whole(family, direct):
        return "" if (weir.status, weir.body) == (200, b"".join(passed)) else f"a whole stream was changed: status {weir.status}, {short(weir.body[-120:])}"
    if not passed:
        return flaw_of_refusal(weir)
    if weir.status != 200:
        return f"status {weir.status} although {len(passed)} whole events came"
    if b"".join(events) != weir.body:
        return f"a half event was passed on: {short(weir.body[-120:])}"
    if len(errors) != 1 or events[-1] not in errors:
        return f"{len(errors)} error events, the last event is {short(events[-1] if events else b'')}"
    if any(family.ends(event) for event in events):
        return "an end marker in a stream that was cut"
    error = family.error(events[-1]) or {}
    if not error.get("code") or not error.get("message"):
        return f"an error event without code or message: {short(error)}"
    return "" if events[:-1] == passed else "events before the error are not those of the upstream"


def flaw_of_refusal(weir: Answer) -> str:
    """Nothing was sent yet: a real status and an error body."""
    try:
        error = json.loads(weir.body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"status {weir.status} without an error body: {short(weir.body[:120])}"
    return "" if weir.status >= 500 and error.get("code") and error.get("message") else f"status {weir.status}, error {short(error)}"


def flaw_of_record(family: Family, target: Target, direct: Answer, weir: Answer) -> str:
    """The record names the upstream as the one who cut, counts what passed, and has a charge that is decided by its rule."""
    if not weir.request_id:
        return "no x-request-id"
    url = f"{target.weir_url}/weir/calls/{weir.request_id}"
    deadline = time.monotonic() + RECORD_LIMIT_S
    record: dict = {}
    while time.monotonic() < deadline:
        answer = call(url, target.key, "GET", reuse=True)
        record = json.loads(answer.body) if answer.status == 200 else {"status of the look-up": answer.status}
        if charge_of(record) in ("yes", "no", "refunded"):
            break
        time.sleep(RECORD_PAUSE_S)
    whole, passed = is_whole(family, direct), family.passed(direct.body)
    if (ended_by := record.get("ended_by")) != ("done" if whole else "upstream"):
        return f"the record says ended by {ended_by}: {short(record)}"
    if charge_of(record) not in ("yes", "no", "refunded"):
        return f"the record leaves the charge open: {short(record)}"
    if (rule := record["charge"].get("rule")) not in (("complete",) if whole else ("delivered", "refused")):
        return f"the record's rule of the charge is {rule}: {short(record['charge'])}"
    code = record["verdict"]["code"]
    if (code == "W-OK-001") != whole:
        return f"the record's verdict is {code}"
    if passed and record["stream_obs"]["events"] != len(passed):
        return f"the record counts {record['stream_obs']['events']} events of {len(passed)}"
    events = whole_events(weir.body)
    said = (family.error(events[-1]) or {}).get("charged") if events else None
    if isinstance(said, bool) and said != (charge_of(record) == "yes"):
        return f"the error event says charged: {said}, the record {short(record)}"
    refused = weir.status >= 500
    return f"charged although nothing was delivered: {short(record)}" if refused and charge_of(record) == "yes" else ""


def charge_of(record: dict) -> str | None:
    charge = record.get("charge")
    return (charge.get("charged") or charge.get("state")) if isinstance(charge, dict) else record.get("charged")


def one_offset(target: Target, family: Family, offset: int) -> tuple[bool, str]:
    """Whether the cut left the stream whole, and what weir made wrong of it."""
    model = model_of(offset)
    direct = call(target.upstream_url + family.path, target.key, body=family.upstream_request(model))
    weir = call(target.weir_url + family.path, target.key, body=family.request(model), reuse=True)
    flaw = flaw_of_answer(family, direct, weir) or flaw_of_record(family, target, direct, weir)
    return is_whole(family, direct), f"offset {offset}: {flaw}" if flaw else ""


def by_hand(target: Target, family: Family) -> tuple[dict[int, bool], list[str]]:
    """Every offset until the stream is whole: which were, and all flaws."""
    whole: dict[int, bool] = {}
    flaws: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, OFFSET_MAX, BATCH):
            offsets = range(start, start + BATCH)
            results = list(pool.map(lambda offset: one_offset(target, family, offset), offsets))
            whole |= {offset: is_whole for offset, (is_whole, _flaw) in zip(offsets, results)}
            flaws += [flaw for _whole, flaw in results if flaw]
            if all(is_whole for is_whole, _flaw in results):
                return whole, flaws
    return whole, [*flaws, f"no whole stream within {OFFSET_MAX} bytes"]


def by_sdk(target: Target, environment: Environment, script: str, plan: list[dict]) -> list[str]:
    """One process for all offsets; it says of each how it ended for the application."""
    command = [*environment.command(script), target.weir_url]
    environ = clean_environ() | {"CLIENT_KEY": target.key}
    with tempfile.TemporaryDirectory(prefix="weir-bytes-") as folder:
        told, log = Path(folder) / "plan.json", Path(folder) / "stderr.log"
        told.write_text(json.dumps(plan))
        with child(command, environ, log, told) as process:
            ends = {line["place"]: line for line in map(json.loads, lines(process, SILENCE_LIMIT_S))}
        flaws = [] if len(ends) == len(plan) else [f"{len(ends)} of {len(plan)} streams, then its end or {SILENCE_LIMIT_S} s of silence: {tail(log)}"]
    for place, item in enumerate(plan):
        end = ends.get(place, {"end": "missing"})
        wanted = "ok" if item["whole"] else "raised"
        if end["end"] != wanted:
            flaws.append(f"{item['family']}, {item['model']}: {wanted} was due, but it {short(end)}")
    return flaws


def outcome(name: str, count: int, flaws: list[str]) -> Outcome:
    more = f" (and {len(flaws) - SHOWN} more)" if len(flaws) > SHOWN else ""
    return Outcome(f"every-byte/{name} ({count} offsets)", "; ".join(flaws[:SHOWN]) + more)


def outcomes(target: Target, cases: list[str]) -> Iterator[Outcome]:
    known: dict[str, dict[int, bool]] = {}
    for family in FAMILIES:
        if cases and family.name not in cases:
            continue
        whole, flaws = by_hand(target, family)
        if not family.spliced:
            known[family.name] = whole
        yield outcome(family.name, len(whole), flaws)
    with ThreadPoolExecutor(2) as pool:
        waiting = []
        for name, environment, script, families in SDKS:
            if missing := environment.missing():
                yield Outcome(f"every-byte/{name}", skipped=missing)
                continue
            bodies = {family.name: family for family in FAMILIES}
            plan = [
                {"family": family, "whole": is_whole, "model": model_of(offset), "body": bodies[family].body}
                for family in families
                for offset, is_whole in known.get(family, {}).items()
            ]
            if plan:
                waiting.append((name, len(plan), pool.submit(by_sdk, target, environment, script, plan)))
        for name, count, result in waiting:
            yield outcome(name, count, result.result())
