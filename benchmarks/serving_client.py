"""The clients of serving.py: a number of connections that each ask, and ask again.

Usage: python serving_client.py PORT CLIENTS REQUESTS BODY PATH
Prints JSON. Bytes over plain sockets: an HTTP library would be what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def ask(port: int, message: bytes, left: list[None], seconds: list[float]) -> int:
    """Ask until no request is left; return how many answers were not a 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    errors = 0
    while left:
        left.pop()
        begun = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        seconds.append(time.perf_counter() - begun)
        errors += b" 200 " not in head.split(b"\r\n", 1)[0]
    writer.close()
    return errors


async def main() -> None:
    """Print rate, median, 99th percentile and errors."""
    port, clients, requests = (int(text) for text in sys.argv[1:4])
    body = sys.argv[4].encode()
    head = f"POST {sys.argv[5]} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    message = head.encode() + body
    left = [None] * requests
    seconds: list[float] = []
    begun = time.perf_counter()
    errors = await asyncio.gather(
        *(ask(port, message, left, seconds) for _ in range(clients))
    )
    taken = time.perf_counter() - begun
    seconds.sort()
    result = {
        "rate": requests / taken,
        "p50": 1000 * seconds[len(seconds) // 2],
        "p99": 1000 * seconds[int(len(seconds) * 0.99)],
        "errors": sum(errors),
    }
    print(json.dumps(result))


asyncio.run(main())
