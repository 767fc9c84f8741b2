"""The Anthropic SDK for Python on streams that are cut: says of each whether the application was told."""

import asyncio
import json
import os
import sys

import anthropic

AT_ONCE = 16
CALL_LIMIT_S = 60


async def main():
    plan = json.load(sys.stdin)
    gate = asyncio.Semaphore(AT_ONCE)
    base_url = sys.argv[1].removesuffix("/v1")
    client = anthropic.AsyncAnthropic(base_url=base_url, api_key=os.environ["CLIENT_KEY"], max_retries=0, timeout=CALL_LIMIT_S)

    async def one(place, item):
        async with gate:
            try:
                async for event in await client.messages.create(model=item["model"], stream=True, **item["body"]):
                    last = event.type
                line = {"place": place, "end": "ok" if last == "message_stop" else "silent"}
            except Exception as error:  # noqa: BLE001 - whatever it raises, the application was told
                line = {"place": place, "end": "raised", "by": f"{type(error).__name__}: {error}"[:200]}
            print(json.dumps(line), flush=True)

    async with client:
        await asyncio.gather(*(one(place, item) for place, item in enumerate(plan)))


asyncio.run(main())
