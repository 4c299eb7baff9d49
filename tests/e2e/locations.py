"""Locations to probe from: each a network namespace where the machine allows it, else loopback.

Between a location and each server is a way of its own, whose mood a test sets.
"""

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

_NETWORK = "198.18"  # RFC 2544: for tests of networks, and nobody's
_BLOCK = 4 * (os.getpid() % 60)
"""Where our networks begin: others may test on this machine at the same time."""
_NOBODY = "02:00:00:00:00:99"
NAME_SERVER = 52
"""The number of the way to a location's own name server, on DNS' port."""
_NETNS = Path("/etc/netns")
"""What `ip netns exec` lays over /etc."""


class Location:
    """Where a worker runs. `hole_reason` is what a probe finds when packets vanish on a way."""

    command = ()
    address = "127.0.0.1"
    hole_reason = "http_timeout"
    has_name_server = False

    def __init__(self, name):
        self.name = name

    def address_of_way(self, number):
        return "127.0.0.1"

    def lose_packets(self, way, lost):
        """Let what is sent to a way vanish; or else the way itself has to do as if."""
        return False


class Namespace(Location):
    """A network namespace, with a pair of interfaces between it and the machine, and an address for each way."""

    hole_reason = "connect_timeout"
    has_name_server = True

    def __init__(self, name, number):
        super().__init__(name)
        self._space = f"relay-{name}-{os.getpid()}"
        self._outside = f"r{name}{os.getpid() % 100000}"
        self._net = f"{_NETWORK}.{_BLOCK + number}"
        self.address = f"{self._net}.250"
        self.command = ("ip", "netns", "exec", self._space)

    def make(self):
        """Raises CalledProcessError where that is not allowed."""
        _ip("netns", "add", self._space)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", "eth0", "netns", self._space)
        _ip("link", "set", self._outside, "up")
        _ip("-n", self._space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for name in ("lo", "eth0"):
            _ip("-n", self._space, "link", "set", name, "up")
        (_NETNS / self._space).mkdir(parents=True)
        # use-vc: by TCP, as everything else goes here
        (_NETNS / self._space / "resolv.conf").write_text(
            f"nameserver {self._net}.{NAME_SERVER + 1}\noptions use-vc timeout:1 attempts:1\n"
        )

    def remove(self):
        shutil.rmtree(_NETNS / self._space, ignore_errors=True)
        subprocess.run(["ip", "netns", "delete", self._space], check=False, capture_output=True)

    def address_of_way(self, number):
        address = f"{self._net}.{number + 1}"
        _ip("addr", "add", f"{address}/24", "dev", self._outside)
        return address

    def lose_packets(self, way, lost):
        entry = [way, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent"] if lost else [way, "dev", "eth0"]
        _ip("-n", self._space, "neigh", "replace" if lost else "delete", *entry)
        return True


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def locations(*names):
    """Give the locations by name; says which kind they are."""
    spaces = [Namespace(name, number) for number, name in enumerate(names, 1)]
    begun = []
    try:
        try:
            if os.geteuid() != 0 or shutil.which("ip") is None:
                raise PermissionError("needs root, and iproute2")
            for space in spaces:
                begun.append(space)
                space.make()
            print("locations are network namespaces")
            yield {space.name: space for space in spaces}
        except (OSError, subprocess.CalledProcessError) as refused:
            print(f"locations are on loopback: no network namespaces here ({refused})")
            yield {name: Location(name) for name in names}
    finally:
        for space in begun:
            space.remove()


class Way:
    """How a location reaches a server: well, slow, refused, a hole (packets vanish), or broken (it is hung up on)."""

    def __init__(self, serve, location, number, context=None, port=0):
        self._serve, self._location, self._context = serve, location, context
        self.address = location.address_of_way(number)
        self.port = port
        self.mood = "well"
        self._server = None

    async def open(self):
        self._server = await asyncio.start_server(self._one, self.address, self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self):
        self._server.close()

    async def be(self, mood):
        """Change; connections that are under way stay as they are."""
        before, self.mood = self.mood, mood
        if "refused" in (before, mood) and before != mood:
            if mood == "refused":
                self.close()
            else:
                await self.open()
        if "hole" in (before, mood) and before != mood:
            self._location.lose_packets(self.address, mood == "hole")

    async def _one(self, reader, writer):
        try:
            if self.mood in ("hole", "slow"):
                await asyncio.sleep(5)
            elif self.mood == "well":
                await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a task of a connection has nobody who waits for it
        finally:
            writer.close()


def leading_to(host, port):
    """Serve by handing everything on to another server, and back."""

    async def serve(reader, writer):
        there, to_there = await asyncio.open_connection(host, port)
        await asyncio.gather(_hand_on(reader, to_there), _hand_on(there, writer), return_exceptions=True)

    return serve


async def _hand_on(reader, writer):
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    finally:
        writer.close()
