"""What the containers of a service get as environment: a Secret, since values may be passwords.

Values reach the containers as they are written. Kubernetes would expand `$(NAME)` in a pod's own
`env`, but does not in a Secret.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from csi import KEY_PREFIX
from csi.persistent_volume import Manifest
from deploy import labels
from deploy.lengths import ELSEWHERE, LONGEST

CHECKSUM_KEY = f"{KEY_PREFIX}environment"
"""The annotation of pods by which a changed value starts new ones."""

# https://kubernetes.io/docs/concepts/configuration/secret/: 1 MiB, for all that is stored of it.
_LARGEST = (1 << 20) - 4096
# A key is a file's name where the Secret is mounted: it leads to no other folder.
_SECRET_KEY = re.compile(r"(?!\.$|\.\.)[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables of one service, in a Secret called `name`."""

    app: str
    service: str | None
    """None for what runs for the whole app."""
    name: str
    variables: Mapping[str, str]

    def secret(self, namespace: str) -> Manifest:
        """Return the Secret.

        Raises:
            ValueError: it is larger than Kubernetes allows, or a variable than Linux does.
        """
        of = f"service {self.service}" if self.service else "app"
        for key, value in sorted(self.variables.items()):
            if (length := len(f"{key}={value}".encode())) > LONGEST:
                raise ValueError(
                    f"{key} in the environment of {of} has {length} bytes, more than the "
                    f"{LONGEST} with which Linux starts a program: {ELSEWHERE}"
                )
        data = {
            _secret_key(key): base64.b64encode(value.encode()).decode()
            for key, value in sorted(self.variables.items())
        }
        size = sum(len(key) + len(value) for key, value in data.items())
        if size > _LARGEST:
            raise ValueError(
                f"the environment of {of} has {size} bytes, more than the 1 MiB that a Secret may "
                f"have: {ELSEWHERE}"
            )
        service = self.service
        found = labels.of_service(self.app, service) if service else labels.of_app(self.app)
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": namespace, "labels": found},
            "data": data,
        }

    def of_container(self) -> Manifest:
        """Return the fields of a container that gets these variables."""
        if not self.variables:
            return {}
        if all(map(_SECRET_KEY.fullmatch, self.variables)):
            return {"envFrom": [{"secretRef": {"name": self.name}}]}
        # Variables may have names that the keys of a Secret may not.
        return {
            "env": [
                {
                    "name": key,
                    "valueFrom": {"secretKeyRef": {"name": self.name, "key": _secret_key(key)}},
                }
                for key in sorted(self.variables)
            ]
        }

    def checksum(self) -> str:
        """Return what is another one when any variable is."""
        text = "\0".join(f"{key}={value}" for key, value in sorted(self.variables.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _secret_key(variable: str) -> str:
    if _SECRET_KEY.fullmatch(variable):
        return variable
    return f"variable-{hashlib.sha256(variable.encode()).hexdigest()[:16]}"
