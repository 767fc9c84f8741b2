"""A plain proxy, byte for byte, that can lose its first connection: before the head, amid a stream, or with the whole answer in hand."""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from urllib.parse import urlsplit

BLOCK = 65_536
# The request is upstream by then; whenever an answer comes, a connection that is cut before its head passes none of it on.
BEFORE_HEAD_S = 0.3
EVENTS_BEFORE_CUT = 5


class Hops:
    """Any number of hops on one loop of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def url(self, to: str, cut: str) -> str:
        """A new hop to `to`; `cut` is empty, `head`, `event`, `answer` or `forget`."""
        return asyncio.run_coroutine_threadsafe(start(to, cut), self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)


async def start(to: str, cut: str) -> str:
    place = urlsplit(to)
    cuts = [cut] if cut else []

    async def carry(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        mine = cuts.pop() if cuts else ""
        far, to_far = await asyncio.open_connection(place.hostname, place.port)
        ways = [asyncio.create_task(forward(near, to_far, mine)), asyncio.create_task(back(far, to_near, mine))]
        with contextlib.suppress(OSError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        # A box that dies resets both sides; one that only forgets closes towards the gateway as if all were well.
        (reset if mine else close)(to_near)
        (reset if mine and mine != "forget" else close)(to_far)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{place.path}"


def close(side: asyncio.StreamWriter) -> None:
    side.close()


def reset(side: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.transport.abort()


async def forward(near: asyncio.StreamReader, to_far: asyncio.StreamWriter, cut: str) -> None:
    while piece := await near.read(BLOCK):
        to_far.write(piece)
        await to_far.drain()
        if cut == "head":
            await asyncio.sleep(BEFORE_HEAD_S)
            return


async def back(far: asyncio.StreamReader, to_near: asyncio.StreamWriter, cut: str) -> None:
    passed = b""
    if cut == "head":
        await asyncio.Event().wait()
    while piece := await far.read(BLOCK):
        passed += piece
        if cut in ("answer", "forget"):
            if whole(passed):
                return
            continue
        if cut == "event" and (over := passed.split(b"\n\n", EVENTS_BEFORE_CUT)[EVENTS_BEFORE_CUT:]):
            # However much of the stream comes at once, no more than these events pass.
            to_near.write(piece[: max(len(piece) - len(over[0]), 0)])
            return
        to_near.write(piece)
        await to_near.drain()


def whole(answer: bytes) -> bool:
    head, split, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    return bool(split) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))
