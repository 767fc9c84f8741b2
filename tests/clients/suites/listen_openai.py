"""The OpenAI SDK for Python in front of `weir doctor client`: one call for each script, with its own retries, and what the application got."""

import json
import os
import sys

import openai

# Where nothing comes at all it gives up.
PATIENCE_S = 3

client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["CLIENT_KEY"])
got = {}
for script in sys.argv[2].split(","):
    limited = client.with_options(timeout=PATIENCE_S, max_retries=1) if script in ("slow", "quiet") else client
    words = 0
    try:
        for chunk in limited.chat.completions.create(model=f"doctor-{script}", messages=[{"role": "user", "content": "hello"}], stream=True):
            words += bool(chunk.choices and chunk.choices[0].delta.content)
        got[script] = words
    except Exception as error:  # noqa: BLE001 - which one it is differs between releases
        got[script] = type(error).__name__
print(json.dumps(got))
