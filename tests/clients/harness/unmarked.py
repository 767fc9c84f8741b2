"""Clients that retry without a mark, behind a hop that took the whole answer and closed properly: one call, with what docs/resume.md advises."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .counted import Cell, Client, settled, weir_cell
from .environments import NODE20, NODE22
from .hop import Hops
from .outcome import Outcome
from .target import Target, weir_up

PAGE = Path(__file__).resolve().parents[3] / "docs" / "resume.md"
# Where in its own environment the AI SDK's suite finds the page's lines.
MARKED = "marked.mjs"
# Long, so that no client gives up: what is lost here is lost by the hop alone.
LIMIT_MS = 60_000
# Of each case: the one whose answer is lost, and its retry.
REQUESTS = 2
WRITTEN_LIMIT_S = 30
WRITTEN_PAUSE_S = 0.2
ASSUMED = {"WEIR_REPLAY__UNMARKED_RETRIES": "60s"}

LANGCHAIN = Client("langchain-node", NODE20, "same_langchain.mjs")
VERCEL = (Client("vercel-ai6", NODE20, "same_vercel.mjs"), Client("vercel-ai7", NODE22, "same_vercel.mjs"))


@dataclass(frozen=True)
class Way:
    """What is done about retries without a mark, and for which clients."""

    name: str
    text: str
    clients: tuple[Client, ...]
    environ: dict[str, str]


WAYS = (
    Way("marked", "the client, with the `fetch` of [Ask for the same call again](resume.md#clients-that-retry-without-a-mark)", VERCEL, {}),
    Way("counted", "the client, with LangChain's retries off and its SDK's on", (LANGCHAIN,), {}),
    Way("assumed", "nothing; weir has `unmarked_retries`", (LANGCHAIN, *VERCEL), ASSUMED),
)
# Where the first connection loses the answer: before its head, or with all of it in hand.
CUTS = {"cut-head": ("head", 700), "lost-answer": ("answer", 1), "forgotten-answer": ("forget", 1)}


def marked() -> str:
    """The page's own lines."""
    return next(text for text in re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.S) if "export const marked" in text)


def plan(hops: Hops, url: str, way: Way, n: int) -> list[dict]:
    shared = {"warm_url": url, "way": way.name, "limit_ms": LIMIT_MS, "patience_ms": LIMIT_MS, "asks": 1}
    cases = [(name, cut, wait_ms, stream) for name, (cut, wait_ms) in CUTS.items() for stream in (False, True)]
    return [
        shared | {"place": place(name, stream), "url": hops.url(url, cut), "model": f"sim:tokens=8,first_byte={wait_ms + 10 * n + at}ms", "stream": stream}
        for at, (name, cut, wait_ms, stream) in enumerate(cases)
    ]


def place(name: str, stream: bool) -> str:
    return f"{name}-stream" if stream else name


def cells(binary: Path, way: Way) -> Iterator[tuple[str, str, Cell]]:
    """Client, case, and what it came to. One client after the other: nothing here is in a hurry."""
    with weir_up(binary, environ=way.environ) as target:
        hops = Hops()
        for n, client in enumerate(way.clients):
            if client.environment.missing():
                continue
            if way.name == "marked":
                (client.environment.folder() / MARKED).write_text(marked())
            asked = plan(hops, target.weir_url, way, n)
            answered = {line["place"]: line["answered"] for line in client.run(target.key, asked)}
            for case, cell in written(binary, target, asked, answered).items():
                yield client.name, case, cell
        hops.close()


def written(binary: Path, target: Target, asked: list[dict], answered: dict[str, bool]) -> dict[str, Cell]:
    """Case to what it came to, once the books show the second request of each: it is written a moment after its client has read the answer."""
    deadline = time.monotonic() + WRITTEN_LIMIT_S
    while True:
        calls, seen = settled(binary, target)
        found = {entry["place"]: weir_cell(entry["model"], calls, seen, answered[entry["place"]]) for entry in asked}
        if all(cell.requests >= REQUESTS for cell in found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(WRITTEN_PAUSE_S)


def flaw_of(cell: Cell) -> str:
    """Answered, asked again, and all of it one call."""
    if not cell.answered or cell.requests < REQUESTS:
        return f"an answer to the second request was due: {cell}"
    one = (cell.calls, cell.upstream, cell.completed, cell.charges) == (1, 1, 1, 1)
    return "" if one else f"one call was due: {cell}"


def table(binary: Path) -> str:
    """For docs/same-call.md: what becomes of its known cells."""
    lines = ["| client | what is changed | weir: requests | calls | upstream | completed | charges | answered |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for way in WAYS:
        for client, case, cell in cells(binary, way):
            if case == "forgotten-answer":
                counts = (cell.requests, cell.calls, cell.upstream, cell.completed, cell.charges)
                lines.append("| " + " | ".join(map(str, (client, way.text, *counts, "yes" if cell.answered else "no"))) + " |")
    return "\n".join(lines) + "\n"


def outcomes(binary: Path, wanted: list[str]) -> Iterator[Outcome]:
    for way in WAYS:
        if wanted and way.name not in wanted:
            continue
        for client in way.clients:
            if missing := client.environment.missing():
                yield Outcome(f"unmarked/{way.name}/{client.name}", skipped=missing)
        for client, case, cell in cells(binary, way):
            yield Outcome(f"unmarked/{way.name}/{client}/{case}", flaw_of(cell))
