"""The sender, a process of its own: closed loop (as fast as it is answered) or open loop (at a rate). Prints JSON."""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.generator import alert, as_list, as_webhook

FORMATS: dict[str, Callable[[list[dict]], bytes]] = {"webhook": as_webhook, "list": as_list}


class Sender:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.head = f"POST {options.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" + (
            f"Authorization: Bearer {options.token}\r\n" if options.token else ""
        )
        self.number = options.first
        self.group = options.first_group
        self.seconds: list[float] = []
        self.accepted: list[tuple[int, int, float]] = []
        """First and last alert of each webhook that was answered 200, and when."""
        self.refused = 0

    def body(self) -> tuple[bytes, int]:
        first, group = self.number, self.group % self.options.groups if self.options.groups else self.group
        self.number += self.options.alerts
        self.group += 1
        alerts = [alert(number, number if self.options.spread else group) for number in range(first, self.number)]
        return FORMATS[self.options.format](alerts), first

    async def post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, planned: float | None) -> None:
        body, first = self.body()
        began = planned or time.monotonic()
        try:
            writer.write(f"{self.head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        except (asyncio.IncompleteReadError, OSError):  # the receiver was killed, which may be the point
            self.refused += 1
            await asyncio.sleep(0.05)
            return
        at = head.find(b"content-length:")
        if at >= 0:
            await reader.readexactly(int(head[at + 15 :].split(b"\r\n")[0]))
        now = time.monotonic()
        self.seconds.append(now - began)
        if b" 200 " in head[:20]:
            self.accepted.append((first, first + self.options.alerts - 1, now))
        else:
            self.refused += 1

    async def closed(self, until: float) -> None:
        connection = await asyncio.open_connection("127.0.0.1", self.options.port, limit=2**20)
        while time.monotonic() < until and self.number - self.options.first < self.options.most:
            await self.post(*connection, None)

    async def open(self, until: float) -> None:
        free: asyncio.Queue = asyncio.Queue()
        for _ in range(self.options.connections):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", self.options.port, limit=2**20))
        began = time.monotonic()

        async def one(planned: float) -> None:
            connection = await free.get()
            await self.post(*connection, planned)
            free.put_nowait(connection)

        async with asyncio.TaskGroup() as tasks:
            count = 0
            while (planned := began + count / self.options.rate) < until:
                if self.number - self.options.first >= self.options.most:
                    break
                await asyncio.sleep(max(0.0, planned - time.monotonic()))
                tasks.create_task(one(planned))
                count += 1

    async def run(self) -> dict:
        began = time.monotonic()
        until = began + self.options.seconds
        try:
            async with asyncio.timeout(self.options.seconds + 60):
                if self.options.rate:
                    await self.open(until)
                else:
                    await asyncio.gather(*(self.closed(until) for _ in range(self.options.connections)))
        except TimeoutError:
            self.refused += 1
        took = time.monotonic() - began
        self.seconds.sort()
        return {
            "webhooks": len(self.accepted),
            "refused": self.refused,
            "per_second": len(self.accepted) / took,
            "p50": at(self.seconds, 0.5),
            "p99": at(self.seconds, 0.99),
            "max": at(self.seconds, 1.0),
            "next": self.number,
            "next_group": self.group,
        }


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--path", required=True)
    options.add_argument("--token", default="")
    options.add_argument("--format", choices=FORMATS, default="webhook")
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--rate", type=float, default=0)
    options.add_argument("--alerts", type=int, default=1)
    options.add_argument("--groups", type=int, default=0)
    options.add_argument("--spread", type=int, default=0, help="1: each alert of a webhook is of a group of its own")
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--first-group", type=int, default=0)
    options.add_argument("--most", type=int, default=10**9)
    options.add_argument("--log", type=Path)
    chosen = options.parse_args()
    sender = Sender(chosen)
    result = asyncio.run(sender.run())
    if chosen.log:
        chosen.log.write_text("\n".join(f"{a} {b} {t}" for a, b, t in sender.accepted))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
