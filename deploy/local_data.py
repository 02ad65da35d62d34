"""Apps from the time when every app had /miren/data/local without asking for it.

Miren's documentation on persistent storage ("Migrating from Automatic Local Storage") promises
that an app whose environment mentions the path goes on having it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from deploy.model import AppConfig, DiskSpec, Provider, Service
from deploy.positions import KeyPath
from deploy.problems import Findings, quoted, shown_path

LOCAL_DATA = "/miren/data/local"

_DISK = DiskSpec("data", LOCAL_DATA, Provider.LOCAL)


@dataclass(frozen=True, slots=True)
class _Mention:
    """The entry of an environment whose value holds the path."""

    path: KeyPath
    variable: str


def with_local_data(config: AppConfig, findings: Findings) -> AppConfig:
    """Give each service that needs it the local disk `data`, with a warning how to write it."""
    return _with_disks(config, lambda service: _mention(config, service), findings)


def with_local_data_for(
    config: AppConfig, environment: Mapping[str, str], findings: Findings
) -> AppConfig:
    """Do the same for variables that all services get, whatever app.toml says."""
    mentions = [_Mention((key,), key) for key, value in environment.items() if LOCAL_DATA in value]
    return _with_disks(config, lambda _: next(iter(mentions), None), findings)


def _with_disks(
    config: AppConfig, mention_in: Callable[[Service], _Mention | None], findings: Findings
) -> AppConfig:
    services = []
    needing: dict[_Mention, list[str]] = {}
    for service in config.services:
        is_settled = _is_provided(service) or _has_wrong_disks(service, findings)
        mention = None if is_settled else mention_in(service)
        if mention is None:
            services.append(service)
        else:
            services.append(replace(service, disks=(*service.disks, _DISK)))
            needing.setdefault(mention, []).append(service.name)
    for mention, names in needing.items():
        _recommend(mention, names, findings)
    return replace(config, services=tuple(services))


def _is_provided(service: Service) -> bool:
    # A disk mounted at a folder above provides it, too.
    return any(f"{LOCAL_DATA}/".startswith(f"{disk.mount_path}/") for disk in service.disks)


def _has_wrong_disks(service: Service, findings: Findings) -> bool:
    # One of them may be the disk that is missing here.
    disks = shown_path(("services", service.name, "disks"))
    return any(problem.key.startswith(disks) for problem in findings.errors)


def _mention(config: AppConfig, service: Service) -> _Mention | None:
    """Return an entry that mentions the path and that the service really gets."""
    effective = config.environment(service)
    own: KeyPath = ("services", service.name, "env")
    for path, entries in ((own, service.env), (("env",), config.env)):
        for index, entry in enumerate(entries):
            if LOCAL_DATA in entry.value and effective[entry.key] == entry.value:
                return _Mention((*path, index), entry.key)
    return None


def _recommend(mention: _Mention, names: list[str], findings: Findings) -> None:
    services = ", ".join(quoted(name) for name in names)
    # A variable that is its own place is named by that.
    who = "" if mention.path == (mention.variable,) else f"{mention.variable} "
    what = (
        f"{who}mentions {LOCAL_DATA}, where no disk is mounted: "
        f'the local disk "{_DISK.name}" was added there to {services}'
    )
    tables = [
        f"\n\n[[services.{name}.disks]]\n"
        f'name = "{_DISK.name}"\nprovider = "{_DISK.provider}"\nmount_path = "{LOCAL_DATA}"'
        for name in names
    ]
    findings.warn(mention.path, what, "better write it into the file:" + "".join(tables))
