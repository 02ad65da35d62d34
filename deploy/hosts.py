"""Names such as `db.app.miren`, by which Miren's services find each other.

An ordinary cluster's DNS knows nothing of them. Where an app writes them down, in its environment
and its commands, they become the service's address in the cluster.
"""

import re
from collections.abc import Iterable, Mapping

from deploy.model import AppConfig
from deploy.positions import KeyPath
from deploy.problems import Findings, quoted
from deploy.service_names import service_name

SUFFIX = ".app.miren"

_NAME = r"(?<![A-Za-z0-9_.-])([A-Za-z0-9-]+)\.app\.miren"
_END = r"(?![A-Za-z0-9_-]|\.[A-Za-z0-9_])"
# A trailing dot makes a name absolute, and belongs to it where it cannot end a sentence. With it
# the address would be absolute too, and no name that anything resolves.
_IN_WORDS = re.compile(rf"{_NAME}(?:\.(?=[:/]))?{_END}", re.IGNORECASE)
_ALONE = re.compile(rf"{_NAME}(?:\.(?![A-Za-z0-9_.-]))?{_END}", re.IGNORECASE)


def with_addresses(text: str, app: str, services: Iterable[str]) -> str:
    """Return a text with the addresses of these services in place of their Miren names."""
    exact = {service: service for service in services}
    known = {service.lower(): service for service in exact}

    def address(match: re.Match[str]) -> str:
        # Names of hosts have no case, but services called "db" and "DB" are two.
        service = exact.get(match[1]) or known.get(match[1].lower())
        return service_name(app, service) if service else match[0]

    return _hosts(text).sub(address, text)


def _hosts(text: str) -> re.Pattern[str]:
    return _IN_WORDS if any(map(str.isspace, text)) else _ALONE


def check_hosts(config: AppConfig, findings: Findings, of_procfile: Findings) -> None:
    """Warn of names of services that the app does not have, in the file where they stand."""
    for path, text in _texts(config):
        line = (path[1],) if path[0] == "services" and path[-1] == "command" else ()
        if path not in findings.positions and line in of_procfile.positions:
            _check(config, line, text, of_procfile)
        else:
            _check(config, path, text, findings)


def check_given(config: AppConfig, environment: Mapping[str, str], findings: Findings) -> None:
    """Warn of such names in variables that app.toml does not have."""
    for key, value in environment.items():
        _check(config, (key,), value, findings)


def _check(config: AppConfig, path: KeyPath, text: str, findings: Findings) -> None:
    known = {service.name.lower() for service in config.services}
    for name in dict.fromkeys(match[1] for match in _hosts(text).finditer(text)):
        if name.lower() not in known:
            what = f"names {quoted(name + SUFFIX)}, but the app has no such service"
            names = ", ".join(service.name for service in config.services)
            findings.warn(path, what, f"its services are {names}")


def _texts(config: AppConfig) -> Iterable[tuple[KeyPath, str]]:
    for index, entry in enumerate(config.env):
        yield ("env", index, "value"), entry.value
    if config.post_import:
        yield ("post_import",), config.post_import
    for service in config.services:
        path = ("services", service.name)
        if service.command:
            yield (*path, "command"), service.command
        for index, entry in enumerate(service.env):
            yield (*path, "env", index, "value"), entry.value
