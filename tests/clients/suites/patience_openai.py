"""The OpenAI SDK for Python as it comes, with its own retries: one call after the other, and what the application got of each."""

import json
import os
import sys

import openai

# Longer than any wait that a limit of these cases tells.
CALL_LIMIT_S = 150

client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["CLIENT_KEY"], timeout=CALL_LIMIT_S)
for _ in range(int(sys.argv[3])):
    try:
        answer = client.chat.completions.create(model=sys.argv[2], messages=[{"role": "user", "content": "hello"}])
        line = {"answered": bool(answer.choices[0].message.content)}
    except openai.APIStatusError as error:
        line = {"answered": False, "status": error.status_code, "code": error.code, "told": (error.body or {}).get("resetAt")}
    print(json.dumps(line))
