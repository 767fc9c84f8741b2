"""The Anthropic SDK for Python on `/v1/messages`: whole, streamed, with tools, async and raw."""

from types import SimpleNamespace

import anthropic
from case import CALL_LIMIT_S, MODEL, TALK, TOOL_MODEL, case, must, plain, run

ASKED = {"model": MODEL, "max_tokens": 64, "messages": TALK}
TOOL = {"name": "weather", "description": "The weather of a city.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
WITH_TOOL = ASKED | {"model": TOOL_MODEL, "tools": [TOOL], "tool_choice": {"type": "any"}}


def connect(base_url, key):
    options = {"base_url": base_url.removesuffix("/v1"), "api_key": key, "max_retries": 0, "timeout": CALL_LIMIT_S}
    return SimpleNamespace(now=anthropic.Anthropic(**options), later=lambda: anthropic.AsyncAnthropic(**options))


@case
def message(c):
    answer = c.now.messages.create(**ASKED)
    must(answer.content[0].text, "text")
    return answer


@case
def message_stream(c):
    events = list(c.now.messages.create(**ASKED, stream=True))
    must(events[-1].type == "message_stop", "message_stop at the end")
    return events


@case
def message_stream_events(c):
    with c.now.messages.stream(**ASKED) as stream:
        return [plain(event) for event in stream] + [plain(stream.get_final_message())]


@case
def tools(c):
    answer = c.now.messages.create(**WITH_TOOL)
    must(any(block.type == "tool_use" for block in answer.content), "a tool call")
    return answer


@case
def tools_stream(c):
    events = list(c.now.messages.create(**WITH_TOOL, stream=True))
    must(any(event.type == "content_block_start" and event.content_block.type == "tool_use" for event in events), "a tool call")
    return events


@case
def raw_response(c):
    raw = c.now.messages.with_raw_response.create(**ASKED)
    return [raw.status_code, raw.headers["content-type"], raw.parse()]


@case
def raw_stream(c):
    with c.now.messages.with_streaming_response.create(**ASKED, stream=True) as raw:
        return [raw.status_code, raw.headers["content-type"].split(";")[0], *raw.iter_lines()]


@case
async def message_async(c):
    async with c.later() as client:
        return plain(await client.messages.create(**ASKED))


@case
async def message_stream_async(c):
    async with c.later() as client:
        return [event async for event in await client.messages.create(**ASKED, stream=True)]


run(connect)
