"""The OpenAI SDK for Python on streams that are cut: says of each whether the application was told."""

import asyncio
import json
import os
import sys

import openai

AT_ONCE = 16
CALL_LIMIT_S = 60


async def drain(client, item):
    """Reads one stream as an application does. A Responses stream tells a failure in its last event, the others raise."""
    create = {"chat": client.chat.completions.create, "completions": client.completions.create, "responses": client.responses.create}
    last = None
    async for event in await create[item["family"]](model=item["model"], stream=True, **item["body"]):
        last = event
    if item["family"] == "responses" and last.type == "response.failed":
        raise RuntimeError(last.response.error.code)
    if item["family"] == "responses" and last.type != "response.completed":
        return "silent"
    return "ok"


async def main():
    plan = json.load(sys.stdin)
    gate = asyncio.Semaphore(AT_ONCE)
    client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key=os.environ["CLIENT_KEY"], max_retries=0, timeout=CALL_LIMIT_S)

    async def one(place, item):
        async with gate:
            try:
                line = {"place": place, "end": await drain(client, item)}
            except Exception as error:  # noqa: BLE001 - whatever it raises, the application was told
                line = {"place": place, "end": "raised", "by": f"{type(error).__name__}: {error}"[:200]}
            print(json.dumps(line), flush=True)

    async with client:
        await asyncio.gather(*(one(place, item) for place, item in enumerate(plan)))


asyncio.run(main())
