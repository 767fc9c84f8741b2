"""The two clients of docs/resume.md, cut at every event: what they yield is the whole stream, and the upstream was asked once."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from .environments import clean_environ
from .outcome import Outcome
from .target import Target

PAGE = Path(__file__).resolve().parents[3] / "docs" / "resume.md"
CALL_LIMIT_S = 60
TOKENS = 6
CALLER = {
    "python": (".py", "\nimport os, sys\nfor line in events(os.environ['BASE'], os.environ['KEY'], json.loads(sys.argv[1])):\n    print(line)\n"),
    "js": (".mjs", "\nfor await (const line of events(process.env.BASE, process.env.KEY, JSON.parse(process.argv[2]))) console.log(line);\n"),
}


class Cutter:
    """A hop that breaks its first connection after so many events, and passes every later one."""

    def __init__(self, to: str, after: int) -> None:
        place = urlsplit(to)
        self.to, self.after, self.cut = (place.hostname, place.port), after, False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}{place.path}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self.to) as far:
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            passed = b""
            while piece := far.recv(65_536):
                passed += piece
                if not self.cut and passed.count(b"data:") >= self.after:
                    self.cut = True
                    # The last event is cut in the middle: it was not seen.
                    near.sendall(piece[: piece.rfind(b"data:") + 9])
                    break
                near.sendall(piece)
            # The other thread still waits on both: only this ends a connection that is in use.
            for side in (near, far):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.server.close()


def pump(near: socket.socket, far: socket.socket) -> None:
    try:
        while piece := near.recv(65_536):
            far.sendall(piece)
    except OSError:
        return


def clients() -> dict[str, str]:
    """The page's own text, by its language."""
    return {kind: text for kind, text in re.findall(r"```(python|js)\n(.*?)```", PAGE.read_text(), re.S) if "events(base, key, body)" in text}


def model_of(language: str, after: int) -> str:
    """A model of its own for each case: the upstream's list is asked for its requests, whatever else is going on there."""
    return f"sim:tokens={TOKENS},interval=20ms,first_byte={1 + after + 100 * list(CALLER).index(language)}ms"


def asked(target: Target, model: str, base: str, language: str, text: str) -> list[str]:
    suffix, caller = CALLER[language]
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Resume"}]}
    with tempfile.TemporaryDirectory(prefix="weir-resume-") as folder:
        script = Path(folder) / f"client{suffix}"
        script.write_text(text + caller)
        command = [sys.executable if language == "python" else "node", str(script), json.dumps(body)]
        environ = clean_environ() | {"BASE": base, "KEY": target.key}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=CALL_LIMIT_S)
    return done.stdout.splitlines() if done.returncode == 0 else [f"exit {done.returncode}", done.stderr[-400:]]


def upstream_calls(target: Target, model: str) -> int:
    with urllib.request.urlopen(target.upstream_url.removesuffix("/v1") + "/sim/requests", timeout=CALL_LIMIT_S) as answer:
        return sum(request["model"] == model for request in json.load(answer)["requests"])


def outcomes(target: Target, wanted: list[str]) -> Iterator[Outcome]:
    for language, text in clients().items():
        if wanted and language not in wanted:
            continue
        count = len(asked(target, model_of(language, 0), target.upstream_url, language, text))
        for after in range(1, count + 1):
            model = model_of(language, after)
            # The simulator answers an equal body with equal bytes.
            whole = asked(target, model, target.upstream_url, language, text)
            cutter = Cutter(target.weir_url, after)
            before = upstream_calls(target, model)
            got = asked(target, model, cutter.url, language, text)
            cutter.close()
            flaw = "" if got == whole else f"{len(got)} events, the whole has {len(whole)}: {got[-2:]}"
            flaw = flaw or ("" if cutter.cut else "the connection was not cut")
            more = upstream_calls(target, model) - before
            flaw = flaw or ("" if more == 1 else f"{more} upstream calls")
            yield Outcome(f"resume/{language}/{after}", flaw)
