"""When a certificate ends, beside what the library that made it says."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.server.expiry import ends_at


def certificate(end: datetime, names: int = 1) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"a{n}.example" * 3) for n in range(names)])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), end - timedelta(90), end)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2120])  # the form of a time changes in 2050
@pytest.mark.parametrize("names", [1, 20])  # and that of a length at 128 and 256 bytes
def test_the_end_is_what_the_certificate_says(tmp_path: Path, year: int, names: int) -> None:
    end = datetime(year, 2, 28, 23, 59, 58, tzinfo=UTC)
    path = tmp_path / "cert.pem"
    path.write_bytes(b"a comment\n" + certificate(end, names) + certificate(end + timedelta(1)))
    assert ends_at(path) == end.timestamp()


def test_what_is_no_certificate_is_an_error_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    whole = certificate(datetime(2030, 1, 1, tzinfo=UTC))
    raw = base64.b64decode(b"".join(whole.splitlines()[1:-1]))
    for junk in (b"", b"no certificate", whole[:100]):
        path.write_bytes(junk)
        with pytest.raises(ValueError, match="no certificate"):
            ends_at(path)
    for count in (0, 1, 4, 30, 100, len(raw) - 1):
        cut = base64.b64encode(raw[:count])
        path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + cut + b"\n-----END CERTIFICATE-----\n")
        with pytest.raises(ValueError, match=r"certificate|tag|length"):
            ends_at(path)
