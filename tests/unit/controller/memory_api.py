"""The Kubernetes API in memory: for what a real API server does not do on demand.

tests/contract and tests/cluster use a real API server and say what it promises. This one exists for
the bad days that cannot be ordered there: a write that somebody outruns, an outage of a second, a
watch that ends or whose version is forgotten. It knows no schema, no defaults and no finalizers.
"""

import copy
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import Conflict, Gone, KubernetesApi, Object

PAGE = 2
"""How many objects a list brings at once: few, so that every list has pages."""

CREATED = "2026-01-02T03:04:05Z"

_PATH = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]*))?")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads: to a collection, or to one object in it."""

    kind: str
    namespace: str
    name: str = ""

    @classmethod
    def of(cls, path: str) -> "_Place":
        found = _PATH.fullmatch(path)
        if found is None:
            raise AssertionError(f"{path} is no path that the Kubernetes API has")
        group, namespace, resource, name = found.groups()
        return cls(f"{group}/{resource}", namespace or "", name or "")

    def holds(self, other: "_Place") -> bool:
        return self.kind == other.kind and self.namespace in {"", other.namespace}


@dataclass(frozen=True, slots=True)
class _Event:
    version: int
    what: str
    place: _Place
    found: Object


class MemoryApi(KubernetesApi):
    """Objects with uids and resourceVersions, and the knobs that tests turn."""

    def __init__(self) -> None:
        self.away = False
        """Whether every call fails, and every watch ends with an error."""
        self.calls: list[tuple[str, str]] = []
        """Verbs and paths."""
        self._outrun: dict[str, Callable[[], object]] = {}
        self._objects: dict[_Place, Object] = {}
        self._events: list[_Event] = []
        self._version = 0
        self._forgotten = 0
        self._round = 0
        self._changed = threading.Condition(threading.RLock())

    # what others do

    def put(self, path: str, found: Object) -> Object:
        """Make an object or replace it, in the collection `path`."""
        place = _Place.of(f"{path}/{found['metadata']['name']}")
        with self._changed:
            return self._store(place, found, self._objects.get(place))

    def remove(self, path: str) -> None:
        """Delete an object of any version."""
        with self._changed:
            place = _Place.of(path)
            self._happens("DELETED", place, self._objects.pop(place))

    def outrun(self, verb: str, others: Callable[[], object]) -> None:
        """Let others do something just before the next call with this verb arrives."""
        self._outrun[verb] = others

    def forget(self) -> None:
        """End all watches, and know no more of what was before."""
        with self._changed:
            self._forgotten = self._version = self._version + 1
            self._end()

    def end_watches(self) -> None:
        """End all watches as a server does now and then."""
        with self._changed:
            self._end()

    def fail(self, away: bool = True) -> None:
        """Be away from now on, or back."""
        with self._changed:
            self.away = away
            self._end()

    def count(self, *verbs: str) -> int:
        """Tell how many calls there were with these verbs."""
        return sum(verb in verbs for verb, _ in self.calls)

    # what the driver asks for

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        place = self._called("get", path)
        if not place.name:
            return self._page(place, query or {})
        return copy.deepcopy(self._existing(place))

    def watch(self, path: str, version: str) -> Iterator[tuple[str, Object]]:
        place, seen, began = self._called("watch", path), int(version), self._round
        while True:
            due = self._wait(seen, began)
            if not due:
                return
            seen = due[-1].version
            for event in due:
                if place.holds(event.place):
                    yield event.what, copy.deepcopy(event.found)

    def create(self, path: str, body: Object) -> Object:
        collection = self._called("create", path)
        with self._changed:
            place = _Place(collection.kind, collection.namespace, body["metadata"]["name"])
            if place in self._objects:
                raise Conflict(f'"{place.name}" already exists')
            return self._store(place, body, None)

    def replace(self, path: str, body: Object) -> Object:
        place = self._called("replace", path)
        with self._changed:
            before = self._existing(place, body["metadata"].get("resourceVersion"))
            return self._store(place, body, before)

    def patch(self, path: str, patch: Object) -> Object:
        place = self._called("patch", path)
        with self._changed:
            version = patch.get("metadata", {}).get("resourceVersion")
            before = self._existing(place, version)
            return self._store(place, merged(before, patch), before)

    def delete(
        self,
        path: str,
        version: str | None = None,
        propagation: str = "",  # noqa: ARG002
        uid: str | None = None,
    ) -> None:
        assert uid is None  # nobody here asks for it
        place = self._called("delete", path)
        with self._changed:
            self._existing(place, version)
            self._happens("DELETED", place, self._objects.pop(place))

    # how

    def _called(self, verb: str, path: str) -> _Place:
        self.calls.append((verb, path))
        if others := self._outrun.pop(verb, None):
            others()
        self._require_presence()
        return _Place.of(path)

    def _require_presence(self) -> None:
        if self.away:
            raise Unavailable("the Kubernetes API server in memory cannot be reached")

    def _wait(self, seen: int, began: int) -> list[_Event]:
        """Wait for what happens after a version; nothing when the watch that began then ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen or self._round != began)
            self._require_presence()
            if seen < self._forgotten:
                raise Gone(f"too old resource version: {seen} ({self._forgotten})")
            return [event for event in self._events if event.version > seen]

    def _end(self) -> None:
        self._round += 1
        self._changed.notify_all()

    def _existing(self, place: _Place, version: str | None = None) -> Object:
        found = self._objects.get(place)
        if found is None:
            raise NotFound(f'the Kubernetes API server says: "{place.name}" not found')
        if version not in {None, found["metadata"]["resourceVersion"]}:
            raise Conflict(f'"{place.name}" has been modified')
        return found

    def _store(self, place: _Place, body: Object, before: Object | None) -> Object:
        known = before["metadata"] if before else {}
        kept = {key: known[key] for key in ("uid", "creationTimestamp") if key in known}
        fresh = {"uid": str(uuid.uuid4()), "creationTimestamp": CREATED}
        own = {"name": place.name, **({"namespace": place.namespace} if place.namespace else {})}
        found = copy.deepcopy(body)
        found["metadata"] = {**fresh, **found["metadata"], **kept, **own}
        self._happens("MODIFIED" if before else "ADDED", place, found)
        self._objects[place] = found
        return copy.deepcopy(found)

    def _happens(self, what: str, place: _Place, found: Object) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self._events.append(_Event(self._version, what, place, copy.deepcopy(found)))
        self._changed.notify_all()

    def _page(self, collection: _Place, query: Mapping[str, str]) -> Object:
        with self._changed:
            found = [
                item
                for place, item in self._objects.items()
                if collection.holds(place) and _is_selected(item, query)
            ]
            begin = int(query.get("continue", "0"))
            end = begin + PAGE
            metadata = {"resourceVersion": str(self._version)}
            if end < len(found):
                metadata["continue"] = str(end)
            return {"metadata": metadata, "items": copy.deepcopy(found[begin:end])}


def merged(target: Object, patch: Object) -> Object:
    """What a JSON Merge Patch makes of an object (RFC 7386)."""
    result = copy.deepcopy(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _is_selected(found: Object, query: Mapping[str, str]) -> bool:
    labels = found["metadata"].get("labels") or {}
    return all(
        labels.get(key) == value for key, value in _pairs(query.get("labelSelector", ""))
    ) and all(_field(found, key) == value for key, value in _pairs(query.get("fieldSelector", "")))


def _pairs(selector: str) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in selector.split(",") if part)
    return [(key, value) for key, _, value in parts]


def _field(found: Object, path: str) -> object:
    value: object = found
    for key in path.split("."):
        value = value.get(key, "") if isinstance(value, dict) else ""
    return value
