"""A lease as JSON, named as in coordination.k8s.io/v1: what every store of leases writes."""

from datetime import datetime
from typing import Any, TypeVar

from controller.lease import Lease, Waiting

T = TypeVar("T")

WRONG = (ValueError, TypeError, KeyError, AttributeError)
"""What decoding raises when the JSON has another form than ours."""


def encode(lease: Lease) -> dict[str, Any]:
    """Return the record of a lease, without its disk's name."""
    return {
        "holderIdentity": lease.holder,
        "node": lease.node,
        "acquireTime": _written(lease.acquire_time),
        "renewTime": _written(lease.renew_time),
        "leaseTransitions": lease.transitions,
        "readOnly": lease.read_only,
        "shared": lease.shared,
        "waiting": [
            {
                "holderIdentity": one.holder,
                "since": _written(one.since),
                "asked": _written(one.asked),
                "timeoutSeconds": one.timeout,
            }
            for one in lease.waiting
        ],
    }


def decode(disk: str, one: Any) -> Lease:
    """Return the lease of a disk from its record; raises one of WRONG."""
    return Lease(
        disk=disk,
        holder=_typed(one["holderIdentity"], str),
        node=_typed(one["node"], str),
        acquire_time=_time(one["acquireTime"]),
        renew_time=_time(one["renewTime"]),
        transitions=_typed(one["leaseTransitions"], int),
        read_only=_typed(one["readOnly"], bool),
        shared=_typed(one["shared"], bool),
        waiting=tuple(_decode_waiting(waiting) for waiting in one["waiting"]),
    )


def _decode_waiting(one: Any) -> Waiting:
    since, asked = _time(one["since"]), _time(one["asked"])
    if since is None or asked is None:
        raise ValueError("who waits must have asked at some time")
    holder, timeout = _typed(one["holderIdentity"], str), float(one["timeoutSeconds"])
    return Waiting(holder, since=since, asked=asked, timeout=timeout)


def _typed(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} should be of type {kind.__name__}")
    return value


def _written(time: datetime | None) -> str | None:
    return time.isoformat(timespec="microseconds") if time else None


def _time(text: str | None) -> datetime | None:
    time = datetime.fromisoformat(text) if text else None
    if time and time.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return time
