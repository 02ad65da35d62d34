"""Commands that an app runs around the cut of its disk's snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from csi.errors import DiskError, InvalidRequest, NotFound, Refused, Unavailable
from csi.kubernetes_api import KubernetesApi, Object
from deploy import console
from deploy.operate.disk_cluster import DiskCluster

_WITHIN = 600
"""Seconds for a hook."""
_MOST = 2000
"""Characters of its output that are shown."""
_WELL = "miren-hook-ended-well"
_PROVED = ("sh", "-c", f'sh -c "$1" && echo {_WELL}', "sh")
"""Runs a line, and says so when it ended well: a status of 0 does not prove it (Ran.status)."""


class HookFailed(Refused):
    """A hook ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where hooks run."""

    api: KubernetesApi
    namespace: str
    pod: str
    container: str

    def run(self, option: str, line: str) -> None:
        """Run a shell line; raises HookFailed, Unavailable."""
        command = [*_PROVED, line]
        try:
            ran = self.api.run(self.namespace, self.pod, self.container, command, within=_WITHIN)
        except NotFound as error:
            raise Unavailable(f"{option}: {error}") from error
        if ran.status != 0:
            said = (ran.errors.strip() or ran.output.strip() or "it printed nothing")[-_MOST:]
            raise HookFailed(
                f"{option} ended with status {ran.status} in pod {self.namespace}/{self.pod}, "
                f"container {self.container}: {said}"
            )
        if _WELL not in ran.output:
            raise Unavailable(
                f"{option}: the connection to pod {self.namespace}/{self.pod} was lost before the"
                " command's end, so that nobody knows whether it did its work"
            )


class Hooks:
    """The commands before and after the cut, if there are some."""

    def __init__(self, place: _Place | None, before: str | None, after: str | None) -> None:
        self._place = place
        self._before = before
        self._after = after
        self._is_due = False
        self.failure = ""
        """Why the command after the cut failed, if it did."""

    @property
    def after_takes(self) -> int:
        """Seconds that the command after the cut may take."""
        return _WITHIN if self._place and self._after else 0

    @contextmanager
    def around(self) -> Iterator[None]:
        """Run the one now, and the other one at the end unless `done` has come before.

        Raises HookFailed or Unavailable, and runs the other one all the same.
        """
        self._is_due = True
        try:
            if self._place and self._before:
                self._place.run("--pre", self._before)
            yield
        finally:
            self.done()

    def done(self) -> None:
        """Run the command for after the cut, once; `failure` says how that went."""
        if not self._is_due:
            return
        self._is_due = False
        if self._place and self._after:
            try:
                self._place.run("--post", self._after)
            except DiskError as error:
                self.failure = str(error)
                console.say(f"warning: {error}")


def none() -> Hooks:
    """Return those of a cut around which nothing runs."""
    return Hooks(None, None, None)


def find(
    cluster: DiskCluster, disk: str, before: str | None, after: str | None, container: str | None
) -> Hooks:
    """Return the hooks of a disk's backup, which run in the pod that holds the disk.

    Raises InvalidRequest when that pod has no such container, Unavailable.
    """
    if not (before or after):
        return none()
    pod = _holder(cluster, disk)
    if pod is None:
        console.say(f'note: no pod holds disk "{disk}", so --pre and --post have nobody to run in')
        return Hooks(None, before, after)
    metadata = pod["metadata"]
    names = [str(one["name"]) for one in pod["spec"]["containers"]]
    if container not in {None, *names}:
        raise InvalidRequest(
            f"pod {metadata['namespace']}/{metadata['name']} has no container {container}, but "
            f"{', '.join(names)}"
        )
    where = _Place(cluster.api, metadata["namespace"], metadata["name"], container or names[0])
    return Hooks(where, before, after)


def _holder(cluster: DiskCluster, disk: str) -> Object | None:
    lease = cluster.lease(disk)
    namespace, _, name = (lease.holder if lease else "").partition("/")
    if not name:
        return None
    try:
        pod = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    except NotFound:
        return None
    return pod if (pod.get("status") or {}).get("phase") == "Running" else None
