"""LangChain for Python: ChatOpenAI on both APIs, tools, batches, async, and OpenAIEmbeddings."""

from types import SimpleNamespace

from case import CALL_LIMIT_S, MODEL, TOOL, TOOL_MODEL, case, must, plain, run
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

ASKED = "Count from one to eight."


def connect(base_url, key):
    options = {"base_url": base_url, "api_key": key, "max_retries": 0, "timeout": CALL_LIMIT_S}
    return SimpleNamespace(
        chat=ChatOpenAI(model=MODEL, **options),
        armed=ChatOpenAI(model=TOOL_MODEL, **options).bind_tools([TOOL], tool_choice="required"),
        counted=ChatOpenAI(model=MODEL, stream_usage=True, **options),
        responses=ChatOpenAI(model=MODEL, use_responses_api=True, **options),
        # Without its own length check, which would fetch a vocabulary from the network.
        vectors=OpenAIEmbeddings(model="sim:ok", check_embedding_ctx_length=False, **options),
    )


def messages(found):
    """LangChain numbers its own runs at random and uses that number where no id came from the API; only that one is left out."""
    dumped = [plain(message) for message in found]
    for message in dumped:
        if str(message.get("id")).startswith(("lc_run--", "run-")):
            del message["id"]
    return dumped


@case
def invoke(c):
    return messages([c.chat.invoke(ASKED)])


@case
def stream(c):
    chunks = list(c.chat.stream(ASKED))
    must(len(chunks) >= 8, "at least eight chunks")
    return messages(chunks)


@case
def stream_with_usage(c):
    chunks = list(c.counted.stream(ASKED))
    must(any(chunk.usage_metadata for chunk in chunks), "usage")
    return messages(chunks)


@case
def batch(c):
    return messages(c.chat.batch([f"{ASKED} {n}" for n in range(4)]))


@case
def tools(c):
    answer = c.armed.invoke(ASKED)
    must(answer.tool_calls, "a tool call")
    return messages([answer])


@case
def tools_stream(c):
    chunks = list(c.armed.stream(ASKED))
    must(any(chunk.tool_call_chunks for chunk in chunks), "a tool call")
    return messages(chunks)


@case
def responses(c):
    return messages([c.responses.invoke(ASKED)])


@case
def responses_stream(c):
    return messages(list(c.responses.stream(ASKED)))


@case
def embeddings(c):
    return [c.vectors.embed_query("hello"), c.vectors.embed_documents(["one", "two", "three"])]


@case
async def invoke_async(c):
    return messages([await c.chat.ainvoke(ASKED)])


@case
async def stream_async(c):
    return messages([chunk async for chunk in c.chat.astream(ASKED)])


run(connect)
