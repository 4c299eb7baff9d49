"""`tls`: a handshake, and the certificate in it."""

from synthetic.dial import dial
from synthetic.kinds import TlsKeys
from synthetic.run import Run
from synthetic.targets import read_host_port


async def probe(keys: TlsKeys, target: str, run: Run) -> None:
    """Shake hands. Raises `Failed`."""
    host, port = read_host_port(target)
    async with dial(host, port, keys.ip_protocol, keys.tls, run):
        run.note("the handshake is done")
