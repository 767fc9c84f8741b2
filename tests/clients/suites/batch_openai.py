"""A script as people write it: a thread pool, the OpenAI SDK for Python as it comes, a file of rows. What still fails is counted and left."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai

# Longer than any wait that the upstream of this case tells.
CALL_LIMIT_S = 60

url, rows, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
client = openai.OpenAI(base_url=url, api_key=os.environ["CLIENT_KEY"], timeout=CALL_LIMIT_S)


def answered(line: str) -> bool:
    try:
        return bool(client.chat.completions.create(**json.loads(line)["body"]).choices[0].message.content)
    except openai.OpenAIError:
        return False


with ThreadPoolExecutor(threads) as pool:
    print(json.dumps({"answered": sum(pool.map(answered, rows.read_text().splitlines()))}))
