"""Everything that can go wrong, in the domain's words.

`DiskError` is the root. Each class is named after what happened and carries one sentence that says
which disk it is about and what to do. `csi.status` maps every class to one gRPC code; pools, leases
and mounts never speak gRPC themselves.

    DiskError
    ├── InvalidRequest         a field is missing, malformed or makes no sense
    ├── NotFound               the disk, snapshot, group, node or path does not exist
    ├── Incompatible           it exists, but differs from what is asked for
    ├── OutOfRange             a size or offset beyond what is possible
    ├── PoolFull               the pool, or its overcommit limit, has no room
    ├── Refused                the state of things forbids the call
    │   ├── DiskInUse          mounted, open or leased by somebody
    │   ├── ForeignData        the device holds data that this driver did not put there
    │   ├── MissingProgram     a program that the host must provide is not installed
    │   └── LeaseExpired       waited for a lease longer than lease_timeout
    ├── Busy                   retry later: another call works on the same thing
    │   ├── LeaseHeld          somebody else holds the disk; the wait goes on
    │   └── BadToken           a page token that is not (or no longer) valid
    ├── Unsupported            the pool or the driver cannot do this
    ├── Unavailable            LVM, the folder or the API server cannot be reached now
    │   └── Forbidden          the API server lets nobody do this who has the caller's rights
    └── ProgramFailed          a program failed in a way that nobody expected
"""

from collections.abc import Sequence


class DiskError(Exception):
    """Root of all errors that a call can end with; `str(error)` is the sentence for the user."""


class InvalidRequest(DiskError):
    """A request's field is missing, malformed or contradicts another one."""


class NotFound(DiskError):
    """What the request names does not exist."""


class Incompatible(DiskError):
    """What the request names exists, but not the way the request wants it."""


class OutOfRange(DiskError):
    """A size or an offset lies outside of what is possible."""


class PoolFull(DiskError):
    """The pool or its overcommit limit has no room for the request."""


class Refused(DiskError):
    """The state of the disk or the host forbids the call until somebody changes it."""


class DiskInUse(Refused):
    """The disk is mounted, open or leased, so it may not be changed this way."""


class ForeignData(Refused):
    """The device carries a signature that this driver did not write; it is left alone."""


class MissingProgram(Refused):
    """The host lacks a program that the call needs."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(
            f"{program} is not installed on this host; install the package {package} "
            f"(apt-get install {package})"
        )
        self.program = program
        self.package = package


class LeaseExpired(Refused):
    """The wait for a disk's lease was longer than its lease_timeout."""


class Busy(DiskError):
    """Retry later: something that is under way must end first."""


class LeaseHeld(Busy):
    """Another instance holds the disk's lease; the caller waits for it by retrying."""


class BadToken(Busy):
    """A page token was not made by this driver or its place in the list is gone."""


class Unsupported(DiskError):
    """The pool or the driver cannot do what is asked."""


class Unavailable(DiskError):
    """Something the driver depends on cannot be reached at the moment."""


class Forbidden(Unavailable):
    """The API server refuses who asks, until somebody grants it."""


class ProgramFailed(DiskError):
    """A program ended with a failure that has no better name here."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
        said = " ".join(output.split()) or "it printed nothing"
        super().__init__(f"{' '.join(argv)} {how}: {said}")
        self.argv = tuple(argv)
        self.status = status
        self.output = output


def disk_not_found(name: str) -> NotFound:
    """The sentence for a disk that does not exist, the same everywhere."""
    return NotFound(f'disk "{name}" does not exist')


def snapshot_not_found(name: str) -> NotFound:
    """The sentence for a snapshot that does not exist, the same everywhere."""
    return NotFound(f'snapshot "{name}" does not exist')
