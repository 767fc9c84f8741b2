"""LangChain for Python as it comes, with its own retries: one call after the other, and what the application got of each."""

import json
import os
import sys

import openai
from langchain_openai import ChatOpenAI

CALL_LIMIT_S = 150

chat = ChatOpenAI(model=sys.argv[2], base_url=sys.argv[1], api_key=os.environ["CLIENT_KEY"], timeout=CALL_LIMIT_S)
for _ in range(int(sys.argv[3])):
    try:
        line = {"answered": bool(chat.invoke("hello").content)}
    except openai.APIStatusError as error:
        line = {"answered": False, "status": error.status_code, "code": error.code, "told": (error.body or {}).get("resetAt")}
    print(json.dumps(line))
