"""What a server's certificate says, and why it is not trusted."""

import ssl
import sys
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from relay.clock import WallClock
from relay.config.types import spell
from synthetic.kinds import Tls
from synthetic.run import Failed, Run, label


def untrusted(error: ssl.SSLCertVerificationError, name: str) -> Failed:
    """Say why a certificate was not accepted."""
    match error.verify_code:
        case 10:
            return Failed("tls_expired", f"the certificate of {name} has expired")
        case 9:
            return Failed("tls_untrusted", f"the certificate of {name} is not valid yet")
        case 62 | 64:
            return Failed("tls_name", f"the certificate is not of {name}")
        case _:
            return Failed("tls_untrusted", f"the certificate of {name} is not trusted: {error.verify_message}")


def measure_certificate(found: ssl.SSLObject, tls: Tls, run: Run) -> None:
    """Measure when the certificates expire. Raises `Failed` when one that counts does so too soon for the check."""
    presented = _chain(found, "get_unverified_chain")
    if not presented:
        return
    run.measure("probe_ssl_earliest_cert_expiry", min(map(_expiry, presented)).timestamp())
    own = presented[0]
    run.measure("probe_ssl_last_chain_info", 1, _describe(own))
    # a server may show an old certificate besides, which nobody needs who trusts the others
    counting = (tls.verify and _chain(found, "get_verified_chain")) or presented
    first = min(counting, key=_expiry)
    expires = _expiry(first)
    run.measure("probe_ssl_last_chain_expiry_timestamp_seconds", expires.timestamp())
    whose = "its certificate" if first == own else f"the certificate of {first.subject.rfc4514_string()} in its chain"
    run.note(f"{whose} expires {expires:%Y-%m-%d %H:%M} UTC")
    left = expires - WallClock().now()
    if tls.valid_for and left < tls.valid_for:
        whose = whose.replace("its certificate", "the certificate")
        raise Failed("tls_expires_soon", f"{whose} expires in {spell(left)}, sooner than {spell(tls.valid_for)}")


def _chain(found: ssl.SSLObject, which: str) -> list[x509.Certificate]:
    """The server's own certificate, and those that vouch for it."""
    if sys.version_info >= (3, 13):
        return [_read(one) for one in getattr(found, which)()]
    listed = getattr(found._sslobj, which)() or ()  # type: ignore[attr-defined] # what 3.13 has made public
    return [_read(ssl.PEM_cert_to_DER_cert(one.public_bytes())) for one in listed]


@lru_cache(maxsize=1024)
def _read(der: bytes) -> x509.Certificate:
    """A certificate; those that a probe meets are the same for months."""
    return x509.load_der_x509_certificate(der)


@lru_cache(maxsize=1024)
def _describe(certificate: x509.Certificate) -> str:
    return ",".join(
        (
            label("fingerprint_sha256", certificate.fingerprint(hashes.SHA256()).hex()),
            label("issuer", certificate.issuer.rfc4514_string()),
            label("subject", certificate.subject.rfc4514_string()),
            label("subjectalternative", ",".join(_alternatives(certificate))),
            label("serialnumber", f"{certificate.serial_number:x}"),
        )
    )


def _expiry(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def _alternatives(certificate: x509.Certificate) -> list[str]:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        return []
