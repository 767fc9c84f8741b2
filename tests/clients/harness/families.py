"""The API families that stream: what is asked, how a stream ends whole, and what an error event looks like in each."""

import json
from collections.abc import Callable
from dataclasses import dataclass

TALK = [{"role": "user", "content": "Count from one to eight."}]
BORDER = b"\n\n"


@dataclass(frozen=True)
class Family:
    """One streaming route. `body` is what every client of the family sends, so that all get the same stream."""

    name: str
    path: str
    body: dict
    ends: Callable[[bytes], bool]
    """Whether an event is the family's own end marker."""
    error: Callable[[bytes], dict | None]
    """The `error` object of an event in the family's error form, or nothing."""
    exact: bool = True
    """Whether weir sends the same request upstream, so that what passed can be told to the event."""

    def request(self, model: str) -> bytes:
        return json.dumps(self.body | {"model": model, "stream": True}).encode()


def whole_events(stream: bytes) -> list[bytes]:
    """The events that have their border; a rest without one is dropped."""
    return [event + BORDER for event in stream.split(BORDER)[:-1]]


def payload(event: bytes) -> dict:
    """The JSON of an event's data, empty if there is none."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        found = json.loads(b"\n".join(lines))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def named(event: bytes) -> str:
    return next((line[6:].strip().decode() for line in event.splitlines() if line.startswith(b"event:")), "")


def chat_error(event: bytes) -> dict | None:
    found = payload(event)
    return found["error"] if isinstance(found.get("error"), dict) and "choices" not in found else None


def responses_error(event: bytes) -> dict | None:
    found = payload(event)
    response = found.get("response")
    return response.get("error") or {} if found.get("type") == named(event) == "response.failed" and isinstance(response, dict) else None


def messages_error(event: bytes) -> dict | None:
    found = payload(event)
    return found["error"] if found.get("type") == named(event) == "error" and isinstance(found.get("error"), dict) else None


def done(event: bytes) -> bool:
    return event == b"data: [DONE]" + BORDER


USAGE = {"stream_options": {"include_usage": True}}
FAMILIES = (
    Family("chat", "/chat/completions", {"messages": TALK} | USAGE, done, chat_error),
    # weir asks for usage where the client did not, so the upstream's offsets are not those of the stream that the client gets.
    Family("chat-without-usage", "/chat/completions", {"messages": TALK}, done, chat_error, exact=False),
    Family("completions", "/completions", {"prompt": "Count"} | USAGE, done, chat_error),
    Family("responses", "/responses", {"input": "Count"}, lambda event: payload(event).get("type") == "response.completed", responses_error),
    Family("messages", "/messages", {"messages": TALK, "max_tokens": 64}, lambda event: named(event) == "message_stop", messages_error),
)
