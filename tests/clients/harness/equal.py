"""Unmodified SDKs, twice: straight at the upstream, then through weir. All that they yield must be equal."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from .environments import NODE20, NODE22, PY2, PY3, Environment, clean_environ
from .outcome import Outcome, first_difference
from .target import Target

# A suite takes a few seconds; its slowest case has 60 s of its own.
SUITE_LIMIT_S = 240


@dataclass(frozen=True)
class Suite:
    """One client in one environment."""

    name: str
    environment: Environment
    script: str

    def outcomes(self, target: Target, cases: list[str]) -> Iterator[Outcome]:
        if missing := self.environment.missing():
            yield Outcome(self.name, skipped=missing)
            return
        direct, weir = (self.observe(url, target.key, cases) for _side, url in target.sides())
        for case in direct | weir:
            yield Outcome(f"{self.name}/{case}", flaw(direct.get(case, MISSING), weir.get(case, MISSING)))

    def observe(self, url: str, key: str, cases: list[str]) -> dict[str, dict]:
        """Case by case what the client yielded from `url`; a suite that breaks off leaves a case `whole` that says why."""
        command = [*self.environment.command(self.script), url, *cases]
        environ = clean_environ() | {"CLIENT_KEY": key}
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SUITE_LIMIT_S)
        except subprocess.TimeoutExpired:
            return {"whole": {"failed": f"no end within {SUITE_LIMIT_S} s"}}
        seen = {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}
        if done.returncode != 0 or not seen:
            seen["whole"] = {"failed": f"exit {done.returncode}: {done.stderr[-600:]}"}
        return seen


MISSING = {"failed": "not run"}


def flaw(direct: dict, weir: dict) -> str:
    """Two equal failures are no pass: every case here has an answer."""
    for side, line in (("direct", direct), ("weir", weir)):
        if "failed" in line:
            return f"{side}: {line['failed']}"
    return first_difference(direct["seen"], weir["seen"])


SUITES = (
    Suite("openai-py3", PY3, "openai_py.py"),
    Suite("openai-py2", PY2, "openai_py.py"),
    Suite("anthropic-py", PY3, "anthropic_py.py"),
    Suite("langchain-py", PY3, "langchain_py.py"),
    Suite("openai-node6", NODE20, "openai_node.mjs"),
    Suite("openai-node7", NODE22, "openai_node.mjs"),
    Suite("anthropic-node", NODE20, "anthropic_node.mjs"),
    Suite("langchain-node", NODE20, "langchain_node.mjs"),
    Suite("vercel-ai6", NODE20, "vercel_node.mjs"),
    Suite("vercel-ai7", NODE22, "vercel_node.mjs"),
    Suite("vercel-openai", NODE20, "vercel_openai_node.mjs"),
)
