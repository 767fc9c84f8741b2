"""What a case came to, and where two answers first differ."""

from dataclasses import dataclass
from typing import Any

SHOWN_CHARS = 160


@dataclass(frozen=True)
class Outcome:
    """One line of the report. An empty `flaw` is a pass; `skipped` says why nothing was run."""

    name: str
    flaw: str = ""
    skipped: str = ""

    def line(self) -> str:
        if self.skipped:
            return f"skip {self.name}: {self.skipped}"
        return f"FAIL {self.name}: {self.flaw}" if self.flaw else f"ok   {self.name}"


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def first_difference(direct: Any, weir: Any, at: str = "") -> str:
    """Where two JSON values first differ, as `place: direct …, weir …`; empty if they are equal, types and order included."""
    if isinstance(direct, dict) and isinstance(weir, dict):
        for name in [*direct, *(name for name in weir if name not in direct)]:
            if name not in weir or name not in direct:
                return f"{at}.{name} is only in the answer {'straight from the upstream' if name in direct else 'through weir'}"
            if found := first_difference(direct[name], weir[name], f"{at}.{name}"):
                return found
        return ""
    if isinstance(direct, list) and isinstance(weir, list):
        for index, (left, right) in enumerate(zip(direct, weir)):
            if found := first_difference(left, right, f"{at}[{index}]"):
                return found
        return "" if len(direct) == len(weir) else f"{at or 'events'}: {len(direct)} straight from the upstream, {len(weir)} through weir"
    if type(direct) is type(weir) and direct == weir:
        return ""
    return f"{at}: direct {short(direct)}, weir {short(weir)}"
