"""A real model with real weights behind weir: equal answers, and a client that hangs up stops the generation."""

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from .environments import MODEL, clean_environ
from .every_byte import call
from .families import payload, whole_events
from .outcome import Outcome, first_difference
from .target import Target, child, first_line, weir_up

# The model is loaded within a second or two; a loaded machine may need more.
LISTEN_LIMIT_S = 120
CALL_LIMIT_S = 120
# The linger of this run is short so that the run is; the limit also covers weir's default of 10 s.
LINGER = "200ms"
STOP_LIMIT_S = 60
POLL_PAUSE_S = 0.02
EVENTS_BEFORE_HANG_UP = 3
# Nearly all that fits a slot: at 50 to 100 tokens a second this speaks for the best part of a minute.
LONG_TOKENS = 3_900
KEY_NAME = "REAL_MODEL_KEY"
# An invented key: this server asks for none, weir must be given one.
KEY = "sk-invented-for-a-local-model"

# Greedy, seeded and without a prompt cache, so that equal questions get equal answers.
ASKED = {"model": "smollm2", "messages": [{"role": "user", "content": "Name three colours."}], "temperature": 0, "seed": 7, "cache_prompt": False}
# What the model server itself makes anew for each answer: a random id, the time, how long it took.
SERVERS_OWN = ("id", "created", "timings")


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """The address of a model server that runs until the block ends."""
    with tempfile.TemporaryDirectory(prefix="weir-model-") as folder:
        with child(MODEL.command("model_server.py"), clean_environ(), Path(folder) / "stderr.log") as process:
            line = first_line(process, LISTEN_LIMIT_S)
            if not line:
                raise RuntimeError("the model server did not listen")
            yield json.loads(line)["url"]


def steady(answer: dict) -> dict:
    return {name: value for name, value in answer.items() if name not in SERVERS_OWN}


def ask(url: str, key: str, more: dict) -> list[dict]:
    """The answer, or all events of a stream, without what the server makes anew each time."""
    answer = call(f"{url}/chat/completions", key, body=json.dumps(ASKED | more).encode())
    if answer.status != 200 or not answer.clean:
        raise RuntimeError(f"status {answer.status}: {answer.body[:300]!r}")
    if not more.get("stream"):
        return [steady(json.loads(answer.body))]
    return [steady(payload(event)) | {"end": event == b"data: [DONE]\n\n"} for event in whole_events(answer.body)]


def flaw_of_equal(target: Target, more: dict, fewest: int) -> str:
    direct, weir = (ask(url, target.key, more) for _side, url in target.sides())
    if len(direct) < fewest:
        return f"only {len(direct)} events straight from the model"
    return first_difference(direct, weir)


def slots(server: str) -> list[dict]:
    return json.loads(call(f"{server}/slots", "", "GET").body)


def busy(server: str) -> bool:
    return any(slot["is_processing"] for slot in slots(server))


def decoded(server: str) -> int:
    """How many tokens the running generation has made."""
    made = [slot["next_token"] for slot in slots(server) if slot["is_processing"]]
    flat = [token for tokens in made for token in (tokens if isinstance(tokens, list) else [tokens])]
    return max((token.get("n_decoded", 0) for token in flat), default=0)


def hang_up(server: str, url: str, key: str) -> str:
    """Starts a long stream, reads a few events and leaves while the model still writes. Returns its request id."""
    more = {"stream": True, "max_tokens": LONG_TOKENS, "ignore_eos": True}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=CALL_LIMIT_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", urlsplit(url).path + "/chat/completions", json.dumps(ASKED | more).encode(), headers)
    response = connection.getresponse()
    received = b""
    while len(whole_events(received)) < EVENTS_BEFORE_HANG_UP:
        piece = response.read1()
        if not piece:
            raise RuntimeError(f"the stream ended by itself: {response.status} {received[:300]!r}")
        received += piece
    # Asked before it leaves: afterwards the model stops within a moment, which is the point.
    if not busy(server):
        raise RuntimeError("the generation was over before the client left")
    response.close()
    connection.close()
    return response.headers.get("x-request-id", "")


def flaw_of_hang_up(server: str, target: Target) -> str:
    request_id = hang_up(server, target.weir_url, target.key)
    made, deadline = 0, time.monotonic() + STOP_LIMIT_S
    while busy(server):
        made = max(made, decoded(server))
        if time.monotonic() > deadline:
            return f"the model still generates {STOP_LIMIT_S} s after its client left"
        time.sleep(POLL_PAUSE_S)
    if made > LONG_TOKENS * 9 // 10:
        return f"the generation went on to its own end ({made} tokens)"
    return flaw_of_record(target, request_id)


def flaw_of_record(target: Target, request_id: str) -> str:
    """The record says that the client left; it is sealed a moment after the upstream is let go."""
    deadline = time.monotonic() + STOP_LIMIT_S
    seen: object = None
    while time.monotonic() < deadline:
        answer = call(f"{target.weir_url}/weir/calls/{request_id}", target.key, "GET")
        record = json.loads(answer.body) if answer.status == 200 else {}
        seen = record.get("ended_by", answer.status)
        if seen == "client":
            return ""
        time.sleep(POLL_PAUSE_S)
    return f"the record says ended by {seen}, not client"


def outcomes(binary: Path, cases: list[str]) -> Iterator[Outcome]:
    """Starts the model and a `weir up` in front of it. A model that cannot run here fails: it is part of the promise."""
    if missing := MODEL.missing():
        yield Outcome("model", skipped=missing)
        return
    with model_server() as server:
        more = ("--upstream", f"{server}/v1", "--upstream-key-env", KEY_NAME)
        with weir_up(binary, more, {KEY_NAME: KEY, "WEIR_STREAMS__LINGER": LINGER}) as started:
            target = Target(f"{server}/v1", started.weir_url, started.key)
            checks = {
                "whole": lambda: flaw_of_equal(target, {"max_tokens": 32}, 1),
                "stream": lambda: flaw_of_equal(target, {"max_tokens": 32, "stream": True}, 8),
                "stream-with-usage": lambda: flaw_of_equal(target, {"max_tokens": 32, "stream": True, "stream_options": {"include_usage": True}}, 8),
                "hang-up": lambda: flaw_of_hang_up(server, target),
            }
            for name, check in checks.items():
                if cases and name not in cases:
                    continue
                try:
                    yield Outcome(f"model/{name}", check())
                except (RuntimeError, OSError, ValueError, http.client.HTTPException) as error:
                    yield Outcome(f"model/{name}", f"{type(error).__name__}: {error}")
