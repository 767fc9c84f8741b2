"""How a Python suite runs: each case is called with the base URL and prints one JSON line of all that its client yielded."""

import asyncio
import inspect
import json
import os
import sys

MODEL = "sim:tokens=8"
TOOL_MODEL = "sim:tokens=8,tools=2"
REASONING_MODEL = "sim:tokens=8,reasoning=4"
TALK = [{"role": "user", "content": "Count from one to eight."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
# Well under the runner's limit for a whole suite, well over what a loaded machine needs for one call.
CALL_LIMIT_S = 60

CASES = {}


def case(body):
    """Registers a case; its name is the function's."""
    CASES[body.__name__] = body
    return body


def plain(value):
    """What an SDK yielded, as JSON: every field, also those the SDK does not know."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", warnings=False)
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def must(holds, what):
    """A case that yields nothing of its kind would be equal on both sides and prove nothing."""
    if not holds:
        raise AssertionError(f"expected {what}")


def run(connect):
    """`suite.py BASE_URL [CASE...]`, the key in CLIENT_KEY. `connect(base_url, key)` makes what the cases are called with."""
    base_url, wanted = sys.argv[1], sys.argv[2:]
    client = connect(base_url, os.environ["CLIENT_KEY"])
    # One loop for all cases: some clients keep their connections, which belong to a loop, from one call to the next.
    with asyncio.Runner() as runner:
        for name, body in CASES.items():
            if wanted and name not in wanted:
                continue
            try:
                seen = runner.run(body(client)) if inspect.iscoroutinefunction(body) else body(client)
                line = {"case": name, "seen": plain(seen)}
            except Exception as error:  # noqa: BLE001 - whatever a client raises is the result of its case
                line = {"case": name, "failed": f"{type(error).__name__}: {error}"[:600]}
            print(json.dumps(line), flush=True)
