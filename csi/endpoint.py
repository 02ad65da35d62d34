"""The unix socket a plugin listens on: one driver per socket, leftovers of dead ones replaced."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from csi.errors import InvalidRequest, Refused

_LONGEST = 107
"""Bytes of a unix socket's path (unix(7): sun_path has 108, the last one is NUL)."""


def parse(endpoint: str) -> Path:
    """Return the path in `unix:///PATH`; raises InvalidRequest for anything else."""
    path = endpoint.removeprefix("unix://")
    if path == endpoint or not path.startswith("/"):
        raise InvalidRequest(f"the endpoint must be unix:///PATH, not {endpoint!r}")
    if len(path.encode()) > _LONGEST:
        raise InvalidRequest(f"the endpoint's path is longer than {_LONGEST} bytes: {path}")
    return Path(path)


class SocketClaim:
    """The right of one driver to a socket path, held from before the bind until after the stop."""

    def __init__(self, path: Path) -> None:
        """Claim the path and remove what a dead driver left there.

        Raises:
            Refused: a running driver has it, or something that is no socket is there.
            InvalidRequest: the folder cannot be written.
        """
        self.path = path
        self._lock_path = path.with_name(f".{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidRequest(f"cannot use the socket {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove_stale()
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(f"another driver is serving {path}") from None
        except BaseException:
            os.close(self._lock)
            raise

    def _remove_stale(self) -> None:
        if not self.path.exists() and not self.path.is_symlink():
            return
        if not self.path.is_socket():
            raise Refused(f"{self.path} exists and is no socket; remove it or choose another path")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.path)) == 0:
                raise Refused(f"another program is serving {self.path}")
        self.path.unlink()

    def release(self) -> None:
        """Remove the socket and let others have the path."""
        for leftover in (self.path, self._lock_path):
            with contextlib.suppress(FileNotFoundError):
                leftover.unlink()
        os.close(self._lock)
