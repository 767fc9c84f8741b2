"""The OpenAI SDK for Python, sync and async, parsed and raw. Runs unchanged on the 2.x and the 3.x line."""

import base64
import io
from types import SimpleNamespace

import openai
from case import CALL_LIMIT_S, MODEL, REASONING_MODEL, TALK, TOOL, TOOL_MODEL, case, must, plain, run


def connect(base_url, key):
    options = {"base_url": base_url, "api_key": key, "max_retries": 0, "timeout": CALL_LIMIT_S}
    return SimpleNamespace(now=openai.OpenAI(**options), later=lambda: openai.AsyncOpenAI(**options))


@case
def chat(c):
    return c.now.chat.completions.create(model=MODEL, messages=TALK)


@case
def chat_stream(c):
    events = list(c.now.chat.completions.create(model=MODEL, messages=TALK, stream=True))
    must(len(events) >= 8, "at least eight events")
    must(all(event.usage is None for event in events), "no usage that was not asked for")
    return events


@case
def chat_stream_with_usage(c):
    events = list(c.now.chat.completions.create(model=MODEL, messages=TALK, stream=True, stream_options={"include_usage": True}))
    must(events[-1].usage and not events[-1].choices, "a usage chunk at the end")
    return events


@case
def chat_two_choices(c):
    answer = c.now.chat.completions.create(model=MODEL, messages=TALK, n=2)
    must(len(answer.choices) == 2, "two choices")
    return answer


@case
def chat_two_choices_stream(c):
    events = list(c.now.chat.completions.create(model=MODEL, messages=TALK, n=2, stream=True))
    must({choice.index for event in events for choice in event.choices} == {0, 1}, "two choices")
    return events


@case
def chat_stream_events(c):
    with c.now.chat.completions.stream(model=MODEL, messages=TALK) as stream:
        return [plain(event) for event in stream] + [plain(stream.get_final_completion())]


@case
def tools(c):
    answer = c.now.chat.completions.create(model=TOOL_MODEL, messages=TALK, tools=[TOOL], tool_choice="required")
    must(answer.choices[0].message.tool_calls, "a tool call")
    return answer


@case
def tools_stream(c):
    events = list(c.now.chat.completions.create(model=TOOL_MODEL, messages=TALK, tools=[TOOL], tool_choice="required", stream=True))
    must(any(choice.delta.tool_calls for event in events for choice in event.choices), "a tool call")
    return events


@case
def tool_result(c):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"上海"}'}}
    talk = [*TALK, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "晴 ☀"}]
    return list(c.now.chat.completions.create(model=MODEL, messages=talk, tools=[TOOL], stream=True))


@case
def reasoning(c):
    answer = c.now.chat.completions.create(model=REASONING_MODEL, messages=TALK)
    must("reasoning" in answer.choices[0].message.model_dump_json(), "reasoning")
    return answer


@case
def reasoning_stream(c):
    events = list(c.now.chat.completions.create(model=REASONING_MODEL, messages=TALK, stream=True))
    must(any("reasoning" in event.model_dump_json() for event in events), "reasoning")
    return events


@case
def picture_of_3_mib(c):
    url = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * (3 * 1024 * 1024 // 256)).decode()
    talk = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]}]
    return [c.now.chat.completions.create(model=MODEL, messages=talk), *c.now.chat.completions.create(model=MODEL, messages=talk, stream=True)]


@case
def embeddings_as_floats(c):
    return c.now.embeddings.create(model="sim:ok", input="hello", encoding_format="float")


@case
def embeddings_as_base64(c):
    answer = c.now.embeddings.create(model="sim:ok", input="hello", encoding_format="base64")
    must(isinstance(answer.data[0].embedding, str), "base64 text")
    return answer


@case
def embeddings_by_default(c):
    return c.now.embeddings.create(model="sim:ok", input="hello")


@case
def embeddings_of_many(c):
    answer = c.now.embeddings.create(model="sim:ok", input=[f"text {n}" for n in range(64)])
    must(len(answer.data) == 64, "64 vectors")
    return answer


@case
def responses(c):
    answer = c.now.responses.create(model=MODEL, input="Count from one to eight.")
    must(answer.output_text, "text")
    return answer


@case
def responses_stream(c):
    events = list(c.now.responses.create(model=MODEL, input="Count from one to eight.", stream=True))
    must(events[-1].type == "response.completed", "response.completed at the end")
    return events


@case
def responses_stream_events(c):
    with c.now.responses.stream(model=MODEL, input="Count from one to eight.") as stream:
        return [plain(event) for event in stream] + [plain(stream.get_final_response())]


@case
def moderations(c):
    return c.now.moderations.create(model="sim:ok", input="a harmless text")


@case
def speech(c):
    sound = c.now.audio.speech.create(model="sim:ok", voice="alloy", input="hello").read()
    must(sound, "sound")
    return sound


@case
def speech_in_pieces(c):
    with c.now.audio.speech.with_streaming_response.create(model="sim:ok", voice="alloy", input="hello") as answer:
        return b"".join(answer.iter_bytes())


@case
def transcription(c):
    sound = io.BytesIO(b"RIFF" + bytes(range(256)) * 256)
    sound.name = "sound.wav"
    return c.now.audio.transcriptions.create(model="sim:ok", file=sound)


@case
def models(c):
    listed = list(c.now.models.list())
    must(listed, "models")
    return listed


@case
def completions(c):
    return c.now.completions.create(model=MODEL, prompt="Count")


@case
def completions_stream(c):
    events = list(c.now.completions.create(model=MODEL, prompt="Count", stream=True))
    must(len(events) >= 8, "at least eight events")
    return events


@case
def raw_response(c):
    raw = c.now.chat.completions.with_raw_response.create(model=MODEL, messages=TALK)
    return [raw.status_code, raw.headers["content-type"], raw.text() if callable(raw.text) else raw.text, raw.parse()]


@case
def raw_stream(c):
    with c.now.chat.completions.with_streaming_response.create(model=MODEL, messages=TALK, stream=True) as raw:
        return [raw.status_code, raw.headers["content-type"].split(";")[0], *raw.iter_lines()]


@case
async def chat_async(c):
    async with c.later() as client:
        return plain(await client.chat.completions.create(model=MODEL, messages=TALK))


@case
async def chat_stream_async(c):
    async with c.later() as client:
        return [event async for event in await client.chat.completions.create(model=MODEL, messages=TALK, stream=True)]


@case
async def responses_stream_async(c):
    async with c.later() as client:
        return [event async for event in await client.responses.create(model=MODEL, input="Count", stream=True)]


@case
async def embeddings_async(c):
    async with c.later() as client:
        return plain(await client.embeddings.create(model="sim:ok", input=["one", "two"]))


@case
async def raw_response_async(c):
    async with c.later() as client:
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=TALK)
        return [raw.status_code, raw.parse()]


run(connect)
