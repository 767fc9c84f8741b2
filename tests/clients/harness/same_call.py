"""Unmodified clients with their own retries and a short timeout, through faults before, during and after the answer: what each call costs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import unmarked
from .counted import Cell, Client, plain_cell, settled, weir_cell
from .environments import NODE20, NODE22, PY2, PY3
from .hop import Hops
from .outcome import Outcome
from .target import weir_up

PAGE = Path(__file__).resolve().parents[3] / "docs" / "same-call.md"
# More at once, and clients reach their time limit before they have asked.
AT_ONCE = 5


CLIENTS = (
    Client("openai-py3", PY3, "same_call.py", ("openai",)),
    Client("openai-py2", PY2, "same_call.py", ("openai",)),
    Client("openai-node6", NODE20, "same_openai.mjs"),
    Client("openai-node7", NODE22, "same_openai.mjs"),
    Client("langchain-py", PY3, "same_call.py", ("langchain",)),
    Client("langchain-node", NODE20, "same_langchain.mjs"),
    Client("vercel-ai6", NODE20, "same_vercel.mjs"),
    Client("vercel-ai7", NODE22, "same_vercel.mjs"),
)


@dataclass(frozen=True)
class Fault:
    """`words` of the simulator, where a connection of the client is `cut`, and how often the application asks (`asks`)."""

    name: str
    text: str
    words: str
    stream: bool = False
    cut: str = ""
    asks: int = 1
    wait_ms: int = 1

    def limit_ms(self) -> int:
        """For a client that has one limit for all its tries: short where the answer is slow, else enough for tries after the first."""
        return 1_000 if self.wait_ms > 1_000 or "interval" in self.words else 8_000


FAULTS = (
    Fault("slow", "before: the first byte comes after 2.5 s", "tokens=8", wait_ms=2_500),
    Fault("slow-stream", "before: the same, streamed", "tokens=8", stream=True, wait_ms=2_500),
    Fault("slow-again", "before: the same, whole, and the application asks again when its client gave up", "tokens=8", asks=2, wait_ms=2_500),
    Fault("503", "before: the upstream is overloaded once", "tokens=8,503_once"),
    Fault("429", "before: the upstream asks once for 1 s", "tokens=8,429_hint_once=1s"),
    Fault("reset", "before: the upstream takes the request and resets, once", "tokens=8,reset_after_accept_once"),
    Fault("cut-head", "before: the client's connection breaks after 0.3 s, no head yet", "tokens=8", cut="head", wait_ms=700),
    Fault("long", "during: a whole answer that takes 3 s to write", "tokens=20,interval=150ms"),
    Fault("cut-stream", "during: the client's connection breaks after 5 events", "tokens=20,interval=50ms", stream=True, cut="event"),
    Fault("cut-stream-again", "during: the same, and the application asks again", "tokens=20,interval=50ms", stream=True, cut="event", asks=2),
    Fault("upstream-cut", "during: the upstream's stream breaks after 5 events, once", "tokens=20,cut_after_once=5", stream=True),
    Fault("lost-answer", "after: the whole answer is lost with the hop between gateway and client, which dies", "tokens=8", cut="answer"),
    Fault("forgotten-answer", "after: the same, but the hop took the answer and closed as if it had passed it on", "tokens=8", cut="forget"),
)


FORGOTTEN = "the hop acknowledged the whole answer and closed properly, and the client's retry bears no mark: it cannot be told from a new call"
MENDED = """
What a retry without a mark is, is known in two places only, and each can say so ([how](resume.md#clients-that-retry-without-a-mark)): the client,
which did not get its answer, and the operator, who knows whether these clients ever ask the same thing twice on purpose. The same cells then:

"""


# Where one call of an application can be generated or charged twice, and why.
KNOWN = {
    ("forgotten-answer", "langchain-node"): FORGOTTEN,
    ("forgotten-answer", "vercel-ai6"): FORGOTTEN,
    ("forgotten-answer", "vercel-ai7"): FORGOTTEN,
}


def model(side: str, client: int, fault: Fault) -> str:
    """A name of its own for each call: the wait differs by a millisecond."""
    return f"sim:{fault.words},first_byte={fault.wait_ms + 10 * client + FAULTS.index(fault) + (100 if side == 'plain' else 0)}ms"


def run_all(binary: Path) -> dict[tuple[str, str], tuple[Cell, Cell]]:
    """Fault and client to what a call costs behind weir and behind a plain proxy."""
    with weir_up(binary) as target, ThreadPoolExecutor(AT_ONCE) as pool:
        hops, waiting = Hops(), {}
        for side, to in (("weir", target.weir_url), ("plain", target.upstream_url)):
            for n, client in enumerate(CLIENTS):
                plan = [
                    {
                        "place": fault.name,
                        # weir's clients speak to weir itself, unless something between the two is what fails.
                        "url": to if side == "weir" and not fault.cut else hops.url(to, fault.cut),
                        "model": model(side, n, fault),
                        "stream": fault.stream,
                        "asks": fault.asks,
                        "limit_ms": fault.limit_ms(),
                    }
                    for fault in FAULTS
                ]
                waiting[side, client.name] = pool.submit(client.run, target.key, plan)
        answered = {(*who, line["place"]): line["answered"] for who, lines in waiting.items() for line in lines.result()}
        calls, seen = settled(binary, target)
        hops.close()
    cells = {}
    for fault in FAULTS:
        for n, client in enumerate(CLIENTS):
            weir = weir_cell(model("weir", n, fault), calls, seen, answered["weir", client.name, fault.name])
            plain = plain_cell(model("plain", n, fault), seen, answered["plain", client.name, fault.name])
            cells[fault.name, client.name] = weir, plain
    return cells


HEAD = """# The same call, client by client

<!-- Generated by `tests/clients/run --weir-bin target/debug/weir same-call/write`; do not edit. -->

Unmodified clients, with the retries that they come with and a timeout of 1 s, make one call each through a fault: once through weir and once
through a plain proxy, which passes bytes on and nothing else. Either stands in front of the same simulated upstream. Where a client's own
connection is what breaks, such a proxy stands in front of weir, too, and breaks it.

- **requests**: what the gateway or the proxy saw. **calls**: logical calls in weir's books; the other requests joined one or were answered from it.
- **upstream**: requests that the upstream saw. **completed**: generations that it wrote to the end.
- **charges**: calls that weir charged. **paid**: what the plain proxy pays for at most: every request that the upstream did not refuse with an error.
- **⚠** marks a cell where one call of the application became more than one call, charge or completed generation.

`tests/clients/run --weir-bin target/debug/weir same-call` makes all calls again: at most one charge and one completed generation behind weir, but for the known cells below.
The counts are those of one run and may differ by a retry with the speed of the machine. The Vercel AI SDK has one time limit for a call with all its
tries: 1 s where the answer is slow, 8 s elsewhere.

- `slow` and `long` with the Python SDKs: they announce that they wait 1 s, so weir answers each try in time with `upstream_timeout_first_byte`
  and says when to come back. The call goes on, their retries join it, and the one that comes when there is an answer gets it.
- `lost-answer`: a connection that breaks, or a kernel that never acknowledges the end of an answer, tells weir that the answer did not arrive;
  whoever asks for it anew within a minute gets the same one. A connection that is closed properly, or that carries another request, tells that it did:
  an equal request is then a call of its own, and `forgotten-answer` is what nobody behind such a hop can see.
- On a busy machine a client's 1 s may end at the very moment at which its answer comes, in any row: its kernel has the answer, it has read none of
  it. Its kernel then resets the connection, weir takes the answer for lost, and the retry gets it. A proxy between the two may turn that reset into a
  proper close: behind such a one it is a `forgotten-answer`.
- A call that failed before any output was not charged, and a retry really tries again: calls of `503`, `429` and `reset` may be two, one charged.

| fault | client | weir: requests | calls | upstream | completed | charges | answered | plain: requests | completed | paid | answered |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page(cells: dict[tuple[str, str], tuple[Cell, Cell]], mended: str) -> str:
    lines = []
    for fault in FAULTS:
        for n, client in enumerate(CLIENTS):
            weir, plain = cells[fault.name, client.name]
            marked = [f"{count} ⚠" if count > 1 else str(count) for count in (weir.calls, weir.completed, weir.charges)]
            said = ["yes" if cell.answered else "no" for cell in (weir, plain)]
            place = f"`{fault.name}`<br>{fault.text}" if n == 0 else "〃"
            ours = (weir.requests, marked[0], weir.upstream, marked[1], marked[2], said[0])
            theirs = (plain.requests, plain.completed, plain.charges, said[1])
            lines.append("| " + " | ".join(map(str, (place, client.name, *ours, *theirs))) + " |")
    sides = [[cell[side] for cell in cells.values()] for side in (0, 1)]
    end = (
        f"\nIn all, {len(cells)} calls of applications: {sum(cell.charges for cell in sides[0])} charges behind weir, up to "
        f"{sum(cell.charges for cell in sides[1])} behind the plain proxy; answered were {sum(cell.answered for cell in sides[0])} and "
        f"{sum(cell.answered for cell in sides[1])}.\n"
    )
    end += "\nKnown cells, in which one call of an application can be generated or charged twice:\n\n"
    end += "".join(f"- `{fault}`, {client}: {why}.\n" for (fault, client), why in KNOWN.items())
    return HEAD + "\n".join(lines) + "\n" + end + MENDED + mended


def outcomes(binary: Path, cases: list[str]) -> Iterator[Outcome]:
    """At most one charge and one completed generation, but for what is known; the case `write` writes the page."""
    if missing := next(filter(None, (client.environment.missing() for client in CLIENTS)), ""):
        yield Outcome("same-call", skipped=missing)
        return
    cells = run_all(binary)
    if "write" in cases:
        PAGE.write_text(page(cells, unmarked.table(binary)))
    rows = PAGE.read_text().split(MENDED.strip())[0].count("\n| ") - 2
    yield Outcome("same-call/page", "" if rows == len(cells) else f"docs/same-call.md has {rows} rows for {len(cells)} cells: run same-call/write")
    named = set(cases) - {"write"}
    for (fault, client), (weir, _plain) in cells.items():
        if named and not named & {fault, client}:
            continue
        twice = weir.charges > 1 or weir.completed > 1
        if twice and (fault, client) in KNOWN:
            print(f"known same-call/{fault}/{client}: {weir.flaws()}", flush=True)
        unasked = "the client gave up before it had asked" if weir.calls == 0 else ""
        yield Outcome(f"same-call/{fault}/{client}", weir.flaws() if twice and (fault, client) not in KNOWN else "", unasked)
