"""A container's log, read while it grows: each line once, whatever the connection does."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from csi.kubernetes_api import KubernetesApi

_FRACTION = re.compile(r"\.(\d+)")

_Moment = tuple[datetime, str]


class ContainerLog:
    """The log of a container of a pod."""

    def __init__(self, api: KubernetesApi, namespace: str, pod: str, container: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        self._query = {"container": container, "timestamps": "true"}
        self._since = ""
        self._last: _Moment = (datetime.min.replace(tzinfo=UTC), "")

    def new(self) -> Iterator[str]:
        """Yield the whole lines that were not yielded before; raises NotFound, Unavailable."""
        since = {"sinceTime": self._since} if self._since else {}
        text = self._api.text(self._path, {**self._query, **since})
        for line in text.splitlines(keepends=True):
            stamp, _, said = line.partition(" ")
            moment = _moment(stamp)
            # The last one may be half there; a second is asked for again as a whole.
            if moment and line.endswith("\n") and moment > self._last:
                self._last, self._since = moment, stamp
                yield said.rstrip("\n")


def _moment(stamp: str) -> _Moment | None:
    """Return a time that sorts to the nanosecond, in whatever time zone a node is."""
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    fraction = _FRACTION.search(stamp)
    whole = found.astimezone(UTC).replace(microsecond=0)
    return whole, fraction[1].ljust(9, "0") if fraction else "0" * 9
