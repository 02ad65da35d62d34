"""The certificate by which the controller and the node plugins know each other, and its key.

It is its own authority: no other certificate is trusted, so nothing is gained by a chain.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from csi import programs
from csi.errors import InvalidRequest

NAME = "miren-csi-pool"
"""The host name in the certificate, whatever the address."""

CERTIFICATE = "tls.crt"
KEY = "tls.key"
"""File names in a folder, and keys of a Secret of the type kubernetes.io/tls."""

_DAYS = "3650"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def read(folder: Path) -> KeyPair:
    """Read both from a folder; raises InvalidRequest."""
    try:
        return KeyPair((folder / CERTIFICATE).read_bytes(), (folder / KEY).read_bytes())
    except OSError as error:
        raise InvalidRequest(
            f"{folder} has no {CERTIFICATE} and {KEY} to serve the pool with: {error.strerror}"
        ) from error


def make() -> KeyPair:
    """Make a new one; raises MissingProgram without openssl."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, CERTIFICATE), Path(folder, KEY)
        programs.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", _DAYS),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={NAME}"),
                *("-addext", f"subjectAltName=DNS:{NAME}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ]
        )
        return read(Path(folder))
