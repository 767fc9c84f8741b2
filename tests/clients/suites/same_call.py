"""The OpenAI SDK or LangChain for Python with its own retries and a short timeout: calls through faults, all at once."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import openai

# Short on purpose: slow answers come later than this.
LIMIT_S = 1


def ask_openai(entry: dict) -> None:
    client = openai.OpenAI(base_url=entry["url"], api_key=os.environ["CLIENT_KEY"], timeout=LIMIT_S)
    answer = client.chat.completions.create(model=entry["model"], stream=entry["stream"], messages=[{"role": "user", "content": "hello"}])
    if entry["stream"]:
        list(answer)


def ask_langchain(entry: dict) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model=entry["model"], base_url=entry["url"], api_key=os.environ["CLIENT_KEY"], timeout=LIMIT_S)
    list(chat.stream("hello")) if entry["stream"] else chat.invoke("hello")


ASK = {"openai": ask_openai, "langchain": ask_langchain}[sys.argv[1]]


def call(entry: dict) -> dict:
    """An application that asks again does so with the very same call."""
    line = {"place": entry["place"], "answered": False, "asked": 0}
    while not line["answered"] and line["asked"] < entry["asks"]:
        line["asked"] += 1
        try:
            ASK(entry)
            line["answered"] = True
        except Exception as error:  # noqa: BLE001 - whatever the application is told
            line["by"] = f"{type(error).__name__}: {error}"[:160]
    return line


plan = json.load(sys.stdin)
# A cold start alone may last as long as the limit: code is loaded before anything is counted.
for stream in (False, True):
    call(plan[0] | {"model": "sim:ok", "stream": stream, "asks": 1})
with ThreadPoolExecutor(len(plan)) as pool:
    for line in pool.map(call, plan):
        print(json.dumps(line), flush=True)
