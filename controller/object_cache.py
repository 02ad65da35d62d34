"""A copy of a collection of Kubernetes objects that follows the API server: listed, then watched.

The server ends a watch whenever it likes, and may have forgotten where it was: then all is listed
anew (https://kubernetes.io/docs/reference/using-api/api-concepts/, "Efficient detection of
changes").
"""

import builtins
import logging
import threading
from collections.abc import Callable

from csi.errors import DiskError
from csi.kubernetes_api import BOOKMARK, Gone, KubernetesApi, Object

log = logging.getLogger(__name__)

_PAUSE = 5.0
"""Seconds before the server is asked again after it failed."""

_BREATH = 0.1
"""Seconds between two watches, should they end at once."""

Trim = Callable[[Object], Object | None]


class ObjectCache:
    """The objects of one kind, in all namespaces."""

    def __init__(self, api: KubernetesApi, path: str, trim: Trim = lambda found: found) -> None:
        """Follow a collection once `run` is called.

        Args:
            api: the cluster.
            path: of the collection.
            trim: what to keep of an object; None when it is of no interest.
        """
        self._api = api
        self._path = path
        self._trim = trim
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._is_listed = threading.Event()
        self._wakes: list[threading.Event] = []

    def wake(self, event: threading.Event) -> None:
        """Set `event` at each change from now on."""
        self._wakes.append(event)

    @property
    def is_listed(self) -> bool:
        """Whether all objects have been seen once."""
        return self._is_listed.is_set()

    def list(self) -> builtins.list[Object]:
        """Return the objects as they were seen last."""
        with self._lock:
            return [*self._objects.values()]

    def run(self, stop: threading.Event) -> None:
        """Follow the collection until `stop` is set and something happens."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except Gone as error:
                log.debug("%s is listed anew: %s", self._path, error)
                stop.wait(_BREATH)
            except DiskError as error:
                log.warning("cannot follow %s: %s", self._path, error)
                stop.wait(_PAUSE)
            except Exception:
                log.exception("a mistake in following %s", self._path)
                stop.wait(_PAUSE)

    def _follow(self, stop: threading.Event) -> None:
        objects, version = self._api.listing(self._path)
        kept = {_key(found): kept for found in objects if (kept := self._trim(found))}
        with self._lock:
            self._objects = kept
        self._is_listed.set()
        self._tell()
        while not stop.is_set():
            for what, found in self._api.watch(self._path, version):
                version = found["metadata"]["resourceVersion"]
                if what != BOOKMARK:
                    self._change(what, found)
                    self._tell()
                if stop.is_set():
                    return
            stop.wait(_BREATH)

    def _change(self, what: str, found: Object) -> None:
        kept = None if what == "DELETED" else self._trim(found)
        with self._lock:
            if kept is None:
                self._objects.pop(_key(found), None)
            else:
                self._objects[_key(found)] = kept

    def _tell(self) -> None:
        for event in self._wakes:
            event.set()


def _key(found: Object) -> str:
    metadata = found["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
