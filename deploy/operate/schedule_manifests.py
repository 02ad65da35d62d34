"""What a schedule of backups consists of: a CronJob, and an account with the least rights.

In the driver's namespace the account may make Jobs, which is much: whoever may do that there is
root on the nodes. So only this CronJob gets its token, and only its own disk's volume is its.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.workloads import Reference
from csi import KEY_PREFIX
from csi.kubernetes_api import Object
from csi.object_names import object_name
from csi.persistent_volume import NAME_KEY
from deploy.operate.mover_job import Image, job_name
from deploy.operate.mover_life import POD_NAME, POD_UID
from deploy.operate.subject import Subject

SCHEDULE_KEY = f"{KEY_PREFIX}schedule"
"""The label of all that a schedule consists of, with its name."""
TO_KEY = f"{KEY_PREFIX}backup-to"

_LONGEST = 52
"""Characters of a CronJob's name: its Jobs' names have eleven more."""
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A disk that is backed up again and again."""

    disk: Subject
    namespace: str
    """The driver's."""
    cron: str
    time_zone: str
    to: str
    words: Sequence[str]
    """Those of `kubectl-miren`. None may be a secret."""
    image: Image
    app: str = ""
    """The namespace of the app whose pod runs the hooks; empty without hooks."""
    asks_driver: bool = False
    """Whether the driver cuts snapshots for it, and compares them."""

    @property
    def name(self) -> str:
        """The name of its objects."""
        return schedule_name(self.disk.name)

    def manifests(self) -> Iterator[Object]:
        """Yield its objects, the account's first."""
        yield {"apiVersion": "v1", "kind": "ServiceAccount", **self._named(self.namespace)}
        yield self._role(self.namespace, self._here())
        yield self._binding(self.namespace)
        yield self._role("", self._everywhere())
        yield self._binding("")
        if self.app:
            yield self._role(self.app, _in_app())
            yield self._binding(self.app)
        yield self._cron_job()

    def _named(self, namespace: str) -> Object:
        metadata: Object = {"name": self.name}
        if namespace:
            metadata["namespace"] = namespace
        metadata["labels"] = {
            "app.kubernetes.io/name": "miren-csi",
            "app.kubernetes.io/component": "schedule",
            SCHEDULE_KEY: self.name,
        }
        metadata["annotations"] = {NAME_KEY: self.disk.name, TO_KEY: self.to}
        return {"metadata": metadata}

    def _here(self) -> list[Object]:
        rules = [
            _rule("batch", ["jobs"], ["create", "get", "delete"]),
            _rule("", ["pods"], ["list"]),
            _rule("", ["pods/log"], ["get"]),
            _rule("", ["events"], ["list"]),
        ]
        if self.asks_driver:
            rules.append(_EXEC)
        if self.app:
            lease = [object_name(self.disk.name)]
            rules.append(_rule("coordination.k8s.io", ["leases"], ["get"], lease))
        return rules

    def _everywhere(self) -> list[Object]:
        return [
            _rule("", ["persistentvolumes"], ["get", "patch"], [self.disk.volume]),
            _rule("", ["namespaces"], ["get"], ["kube-system"]),
        ]

    def _role(self, namespace: str, rules: list[Object]) -> Object:
        kind = "Role" if namespace else "ClusterRole"
        named = self._named(namespace)
        return {"apiVersion": f"{_RBAC}/v1", "kind": kind, **named, "rules": rules}

    def _binding(self, namespace: str) -> Object:
        kind = "Role" if namespace else "ClusterRole"
        account = {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}
        return {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            **self._named(namespace),
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": self.name},
            "subjects": [account],
        }

    def _cron_job(self) -> Object:
        named = self._named(self.namespace)
        labels = named["metadata"]["labels"]
        spec: Object = {
            "schedule": self.cron,
            "timeZone": self.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": labels},
                "spec": {
                    "backoffLimit": 1,
                    "template": {"metadata": {"labels": labels}, "spec": self._pod()},
                },
            },
        }
        return {"apiVersion": "batch/v1", "kind": "CronJob", **named, "spec": spec}

    def _pod(self) -> Object:
        rights = {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "backup",
            "image": self.image.name,
            "imagePullPolicy": self.image.pull_policy,
            "command": ["kubectl-miren"],
            "args": [*self.words],
            "env": [
                {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                for name, path in ((POD_NAME, "metadata.name"), (POD_UID, "metadata.uid"))
            ],
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
            "securityContext": rights,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
        return {
            "serviceAccountName": self.name,
            "automountServiceAccountToken": True,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "imagePullSecrets": [*self.image.pull_secrets],
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }


def schedule_name(disk: str) -> str:
    """Return what the objects of a disk's schedule are called."""
    full = job_name("backups", disk)
    digits = full[-9:]
    return full if len(full) <= _LONGEST else full[: _LONGEST - 9].rstrip("-") + digits


def app_of(claim: Reference | None, driver: str) -> str:
    """Return the namespace of the app that has a volume; empty for one that nobody has."""
    return claim.namespace if claim and claim.namespace != driver else ""


def _in_app() -> list[Object]:
    return [_rule("", ["pods"], ["get"]), _EXEC]


def _rule(group: str, resources: list[str], verbs: list[str], names: Sequence[str] = ()) -> Object:
    rule: Object = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    if names:
        rule["resourceNames"] = [*names]
    return rule


_EXEC = _rule("", ["pods/exec"], ["create", "get"])
