"""How an app is after `kubectl miren deploy`, for people and for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csi.object_names import object_name
from deploy.model import AppConfig, Service
from deploy.rollout import Progress
from deploy.service_names import service_name


@dataclass(frozen=True, slots=True)
class DeployResult:
    """An app in a namespace: what was seen of its services last, and what went wrong."""

    config: AppConfig
    namespace: str
    seen: Sequence[Progress] = ()
    error: str = ""
    """Empty when the app runs."""

    def as_text(self) -> str:
        """Return the addresses of all services."""
        rows = [(service.name, self._address(service)) for service in self.config.services]
        width = max(len(name) for name, _ in rows)
        lines = [f"{self.config.name} runs in namespace {self.namespace}:"]
        lines += [f"  {name:{width}}  {address}" for name, address in rows]
        return "".join(f"{line}\n" for line in lines)

    def as_json(self) -> str:
        """Return one object, as the command's help describes it."""
        seen = {one.service: one for one in self.seen}
        document = {
            "app": self.config.name,
            "namespace": self.namespace,
            "running": not self.error,
            "error": self.error or None,
            "services": [self._service(one, seen) for one in self.config.services],
            "disks": [*self._disks()],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _address(self, service: Service) -> str:
        host = f"{service_name(self.config.name, service.name)}.{self.namespace}.svc"
        return f"{host}:{service.port}" if service.port else host

    def _service(self, service: Service, seen: Mapping[str, Progress]) -> dict[str, Any]:
        found = seen.get(service.name)
        is_ready = found is not None and found.is_ready
        reason = found.failure or found.ended or found.doing if found else None
        return {
            "name": service.name,
            "address": self._address(service),
            "ready": is_ready,
            "ready_instances": found.ready_instances if found else 0,
            "reason": None if is_ready else reason,
            "log": [*found.log] if found else [],
        }

    def _disks(self) -> Iterator[dict[str, Any]]:
        app = self.config.name
        by_handle = {disk.handle(app): disk for disk in self.config.disks}
        for handle, disk in sorted(by_handle.items()):
            users = [
                service.name
                for service in self.config.services
                if any(one.handle(app) == handle for one in service.disks)
            ]
            yield {
                "name": disk.name,
                "provider": disk.provider.value,
                "volume": object_name(handle),
                "services": users,
            }
