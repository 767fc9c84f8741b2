"""curl, twice: the bytes that weir hands on are the bytes that the upstream sent, whole answers and streams."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .environments import clean_environ
from .outcome import Outcome
from .target import Target

CALL_LIMIT_S = 60
TALK = [{"role": "user", "content": "Count from one to eight."}]
CHAT = {"model": "sim:tokens=8", "messages": TALK}
USAGE = {"stream_options": {"include_usage": True}}
STREAM = {"stream": True}

# The path and the body of each case; no body is a GET.
CASES: dict[str, tuple[str, dict | None]] = {
    "chat": ("/chat/completions", CHAT | {"stream": False}),
    "chat_stream": ("/chat/completions", CHAT | STREAM),
    "chat_stream_with_usage": ("/chat/completions", CHAT | STREAM | USAGE),
    "chat_stream_paced": ("/chat/completions", CHAT | STREAM | {"model": "sim:tokens=8,interval=20ms"}),
    "chat_stream_tools": ("/chat/completions", CHAT | STREAM | {"model": "sim:tokens=8,tools=2"}),
    "chat_stream_reasoning": ("/chat/completions", CHAT | STREAM | {"model": "sim:tokens=8,reasoning=4"}),
    "chat_stream_long": ("/chat/completions", CHAT | STREAM | {"model": "sim:tokens=5000"}),
    "chat_stream_big_events": ("/chat/completions", CHAT | STREAM | {"model": "sim:tokens=8,big=64"}),
    "chat_stream_crlf": ("/chat/completions", CHAT | STREAM | USAGE | {"model": "sim:tokens=8,crlf"}),
    "chat_stream_comments": ("/chat/completions", CHAT | STREAM | USAGE | {"model": "sim:tokens=8,comments=2"}),
    "chat_stream_split": ("/chat/completions", CHAT | STREAM | USAGE | {"model": "sim:tokens=8,split=7"}),
    "chat_stream_glued": ("/chat/completions", CHAT | STREAM | USAGE | {"model": "sim:tokens=8,glued=4"}),
    "completions": ("/completions", {"model": "sim:tokens=8", "prompt": "Count"}),
    "completions_stream": ("/completions", STREAM | USAGE | {"model": "sim:tokens=8", "prompt": "Count"}),
    "responses": ("/responses", {"model": "sim:tokens=8", "input": "Count"}),
    "responses_stream": ("/responses", STREAM | {"model": "sim:tokens=8", "input": "Count"}),
    "messages": ("/messages", CHAT | {"max_tokens": 64}),
    "messages_stream": ("/messages", CHAT | STREAM | {"max_tokens": 64}),
    "embeddings": ("/embeddings", {"model": "sim:ok", "input": ["one", "two"]}),
    "moderations": ("/moderations", {"model": "sim:ok", "input": "a harmless text"}),
    "speech": ("/audio/speech", {"model": "sim:ok", "voice": "alloy", "input": "hello"}),
}


def fetch(url: str, key: str, body: dict | None, folder: Path) -> tuple[str, bytes]:
    """curl's own account (`exit status content-type`) and the body."""
    answer = folder / "answer"
    command = ["curl", "-sS", "-N", "--noproxy", "*", "--max-time", str(CALL_LIMIT_S), "-o", str(answer), "-w", "%{http_code} %{content_type}"]
    # The key comes from a file, as it should: arguments can be read by others.
    (folder / "headers").write_text(f"Authorization: Bearer {key}\nContent-Type: application/json\n")
    command += ["-H", f"@{folder / 'headers'}", url]
    if body is not None:
        (folder / "body").write_text(json.dumps(body))
        command += ["--data-binary", f"@{folder / 'body'}"]
    answer.write_bytes(b"")
    done = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, timeout=CALL_LIMIT_S + 10)
    said = done.stdout.split(";")[0]
    return f"{done.returncode} {said}", answer.read_bytes()


def flaw(direct: tuple[str, bytes], weir: tuple[str, bytes]) -> str:
    if not direct[0].startswith("0 200 "):
        return f"direct: {direct[0]} {direct[1][:200]!r}"
    if direct[0] != weir[0]:
        return f"direct {direct[0]}, weir {weir[0]} {weir[1][:200]!r}"
    if direct[1] != weir[1]:
        at = next((n for n, (left, right) in enumerate(zip(direct[1], weir[1])) if left != right), min(map(len, (direct[1], weir[1]))))
        return f"bytes differ at {at}: direct {direct[1][at : at + 60]!r}, weir {weir[1][at : at + 60]!r}"
    return "" if direct[1] else "both bodies are empty"


def outcomes(target: Target, cases: list[str]) -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(prefix="weir-curl-") as folder:
        for name, (path, body) in CASES.items():
            if cases and name not in cases:
                continue
            direct, weir = (fetch(url + path, target.key, body, Path(folder)) for _side, url in target.sides())
            yield Outcome(f"curl/{name}", flaw(direct, weir))
