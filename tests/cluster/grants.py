"""What RBAC lets an account do, read from a live cluster."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.audit import Request
from tests.cluster.cluster import Cluster


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource (`pods`, `pods/status`), in a namespace or, without one, in all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""

    def allows(self, request: Request) -> bool:
        """Tell whether it is enough for a request."""
        asked = "/".join(filter(None, (request.resource, request.subresource)))
        return (self.group, self.resource, self.verb) == (request.group, asked, request.verb) and (
            self.namespace in {"", request.namespace}
        )


def grants_of(kubernetes: Cluster, name: str, namespace: str) -> set[Grant]:
    """All that is granted to a service account by its name."""
    roles = {
        (kind, role["metadata"].get("namespace", ""), role["metadata"]["name"]): role
        for kind in ("ClusterRole", "Role")
        for role in kubernetes.get(kind, "--all-namespaces")["items"]
    }
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    bindings = kubernetes.get("clusterrolebindings,rolebindings", "--all-namespaces")["items"]
    return {
        grant
        for binding in bindings
        if account in binding.get("subjects", [])
        for grant in _granted(binding, roles)
    }


def _granted(binding: Mapping[str, Any], roles: Mapping[tuple[str, str, str], Any]) -> set[Grant]:
    namespace = binding["metadata"].get("namespace", "")
    kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
    role = roles[kind, namespace if kind == "Role" else "", name]
    return {*_expanded(role["rules"], namespace)}


def _expanded(rules: Iterable[Mapping[str, Any]], namespace: str) -> Iterator[Grant]:
    for rule in rules:
        for group, resource, verb in itertools.product(
            rule["apiGroups"], rule["resources"], rule["verbs"]
        ):
            yield Grant(group, resource, verb, namespace)
