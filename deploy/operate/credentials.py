"""What opens a repository: its password and, for S3, a key. Never on a command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csi.errors import InvalidRequest

_PASSWORD = "RESTIC_PASSWORD"
_PASSWORD_FILE = f"{_PASSWORD}_FILE"
_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a mover has them from."""

    secret: str = ""
    """The Secret in the driver's namespace that has them; empty if they are `given`."""
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the mover's environment."""


def find(secret: str | None, environ: Mapping[str, str], namespace: str) -> Credentials:
    """Return what opens a repository: a Secret, if one is named, or what the environment says.

    Raises InvalidRequest when there is no password.
    """
    if secret:
        return Credentials(secret)
    given = {name: environ[name] for name in _AWS if environ.get(name)}
    password = environ.get(_PASSWORD) or _read(environ.get(_PASSWORD_FILE))
    if not password:
        raise InvalidRequest(
            f"the repository needs a password: set {_PASSWORD} or {_PASSWORD_FILE}, or name a "
            f"Secret in namespace {namespace} that has {_PASSWORD} with --secret"
        )
    return Credentials(given={_PASSWORD: password, **given})


def _read(file: str | None) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise InvalidRequest(f"{_PASSWORD_FILE} {file} cannot be read: {error}") from error
