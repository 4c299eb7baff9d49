"""The pager, a process of its own: answers PagerDuty's Events API at once, and journals. `sink.py PORT LOG [MOOD]`.

In the mood `down` it answers 503, in the mood `hang` not at all; then it journals nothing. SIGUSR1 makes it well.
"""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path

KEY = re.compile(rb'"dedup_key": ?"([^"]*)"')
ACTION = re.compile(rb'"event_action": ?"([^"]*)"')
SEVERITY = re.compile(rb'"severity": ?"(\w*)"')
ID = re.compile(rb"bx-\d{9}")


class Pager(asyncio.Protocol):
    journal: list[str] = []
    mood = "well"

    def connection_made(self, transport) -> None:
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end].lower()
            found = re.search(rb"content-length: *(\d+)", head)
            size = int(found[1]) if found else 0
            if len(self.waiting) < end + 4 + size:
                return
            body, self.waiting = self.waiting[end + 4 : end + 4 + size], self.waiting[end + 4 + size :]
            if self.mood == "hang":
                continue
            if self.mood == "down":
                self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                continue
            key = KEY.search(body)
            answer = b'{"status":"success","message":"Event processed","dedup_key":"%s"}' % (key[1] if key else b"")
            self.transport.write(
                b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )
            action = ACTION.search(body)
            ids = b",".join(sorted(set(ID.findall(body))))
            severity = SEVERITY.search(body)
            found = [match[1] if match else b"" for match in (action, key, severity)]
            said = b"\t".join((*found, ids))
            self.journal.append(f"{time.monotonic()}\t{said.decode()}")


async def main(port: int, log: Path) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, setattr, Pager, "mood", "well")
    server = await asyncio.get_running_loop().create_server(Pager, "127.0.0.1", port, backlog=2048)
    async with server:
        with log.open("a") as sink:
            while True:
                await asyncio.sleep(0.2)
                lines, Pager.journal = Pager.journal, []
                sink.write("".join(f"{line}\n" for line in lines))
                sink.flush()


if __name__ == "__main__":
    Pager.mood = sys.argv[3] if len(sys.argv) > 3 else "well"
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
