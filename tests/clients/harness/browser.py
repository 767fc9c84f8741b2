"""A headless browser, spoken to over two pipes: opens a page and reads what stands in it. Nothing to install but the browser."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

# A cold start of the browser takes two seconds; a starved machine needs many times that.
START_LIMIT_S = 120
PAGE_LIMIT_S = 120
NAMES = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """The browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page. Commands are numbered; events in between are let go."""

    def __init__(self, said: int, heard: int) -> None:
        self.said, self.heard, self.rest, self.number, self.session = said, heard, b"", 0, None

    def ask(self, method: str, limit_s: float = START_LIMIT_S, **parameters: object) -> dict:
        """One command and its answer."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.said, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + limit_s
        while True:
            line, mark, rest = self.rest.partition(b"\0")
            if mark:
                self.rest = rest
                answer = json.loads(line)
                if answer.get("id") == self.number:
                    if "error" in answer:
                        raise RuntimeError(f"{method}: {answer['error'].get('message')}")
                    return answer["result"]
                continue
            if not select.select([self.heard], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{method}: no answer within {limit_s} s")
            if not (more := os.read(self.heard, 1 << 16)):
                raise RuntimeError(f"{method}: the browser has ended")
            self.rest += more

    def value(self, script: str) -> object:
        """What a script comes to; a promise is waited for."""
        return self.ask("Runtime.evaluate", PAGE_LIMIT_S, expression=script, awaitPromise=True, returnByValue=True)["result"].get("value")


@contextlib.contextmanager
def opened(url: str, width: int = 900, height: int = 900) -> Iterator[Page]:
    """A browser of our own with one page, ended on the way out."""
    (reads, said), (heard, writes) = os.pipe(), os.pipe()
    # The browser reads commands from 3 and answers on 4; copies above both cannot be overwritten on the way there.
    their_in, their_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes))
    os.close(reads)
    os.close(writes)
    plumbing = f'exec 3<&{their_in} 4>&{their_out} {their_in}<&- {their_out}>&-; exec "$@"'
    with tempfile.TemporaryDirectory(prefix="weir-browser-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command = ["bash", "-c", plumbing, "bash", found() or "chromium", *flags, f"--window-size={width},{height}", "about:blank"]
        process = subprocess.Popen(command, pass_fds=(their_in, their_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(their_in)
        os.close(their_out)
        try:
            page = Page(said, heard)
            target = page.ask("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page.ask("Page.navigate", url=url)
            yield page
        finally:
            process.terminate()
            try:
                process.wait(START_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(said)
            os.close(heard)
