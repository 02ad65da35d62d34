"""The API server's audit log: who asked it for what."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
"""The verbs that change something."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered. Of one for no resource, such as /healthz, `name` is the path.

    `user` is the name: of a service account `system:serviceaccount:NAMESPACE:NAME`.
    """

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int
    time: datetime

    @classmethod
    def of(cls, event: dict[str, Any]) -> Self:
        """Read what the API server wrote."""
        about = event.get("objectRef", {})
        return cls(
            user=event["user"]["username"],
            verb=event["verb"],
            group=about.get("apiGroup", ""),
            resource=about.get("resource", ""),
            subresource=about.get("subresource", ""),
            namespace=about.get("namespace", ""),
            name=about.get("name", "") if about else event["requestURI"],
            status=event.get("responseStatus", {}).get("code", 0),
            time=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        )


class AuditLog:
    """The log as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """A moment, to be given to `requests`: now."""
        return self._path.stat().st_size

    def requests(self, *, since: int = 0, user: str | None = None) -> Iterator[Request]:
        """The requests answered since such a moment, of all users or of one.

        A watch is there twice: when it has begun, and when it has ended.
        """
        with self._path.open("rb") as file:
            file.seek(since)
            for line in file:
                if line.endswith(b"\n"):  # the last may be half written
                    request = Request.of(json.loads(line))
                    if user in (None, request.user):
                        yield request
