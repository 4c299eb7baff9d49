"""What a server's certificate says, and why it is not trusted."""

import hashlib
import ssl
from datetime import UTC

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

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
    """Measure when the certificate expires. Raises `Failed` when that is too soon for the check."""
    der = found.getpeercert(binary_form=True)
    if der is None:
        return
    certificate = x509.load_der_x509_certificate(der)
    expires = certificate.not_valid_after_utc.astimezone(UTC)
    run.measure("probe_ssl_earliest_cert_expiry", expires.timestamp())
    names = ",".join(
        (
            label("fingerprint_sha256", hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()),
            label("issuer", certificate.issuer.rfc4514_string()),
            label("subject", certificate.subject.rfc4514_string()),
            label("subjectalternative", ",".join(_alternatives(certificate))),
            label("serialnumber", f"{certificate.serial_number:x}"),
        )
    )
    run.measure("probe_ssl_last_chain_info", 1, names)
    run.measure("probe_ssl_last_chain_expiry_timestamp_seconds", expires.timestamp())
    left = expires - WallClock().now()
    run.note(f"its certificate expires {expires:%Y-%m-%d %H:%M} UTC")
    if tls.valid_for and left < tls.valid_for:
        raise Failed(
            "tls_expires_soon", f"the certificate expires in {spell(left)}, sooner than {spell(tls.valid_for)}"
        )


def _alternatives(certificate: x509.Certificate) -> list[str]:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        return []
