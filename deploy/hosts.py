"""Names such as `db.app.miren`, by which Miren's services find each other.

An ordinary cluster's DNS knows nothing of them. Where an app writes them down, in its environment
and its commands, they become the service's address in the cluster.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.model import AppConfig, EnvVar
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


class Hosts:
    """The Miren names of an app's services, and their addresses in the cluster."""

    def __init__(self, config: AppConfig) -> None:
        """Args: config: the app."""
        self.services = [service.name for service in config.services]
        exact = {name: service_name(config.name, name) for name in self.services}
        # Names of hosts have no case, but services called "db" and "DB" are two.
        self._addresses = {name.lower(): address for name, address in exact.items()} | exact

    def resolve(self, text: str) -> str:
        """Return a text with the services' addresses in place of their Miren names."""
        return _hosts(text).sub(lambda found: self._address(found[1]) or found[0], text)

    def unknown(self, text: str) -> list[str]:
        """Return the services that a text names and the app does not have."""
        named = dict.fromkeys(found[1] for found in _hosts(text).finditer(text))
        return [name for name in named if not self._address(name)]

    def _address(self, name: str) -> str | None:
        return self._addresses.get(name) or self._addresses.get(name.lower())


def _hosts(text: str) -> re.Pattern[str]:
    return _IN_WORDS if any(map(str.isspace, text)) else _ALONE


def check_hosts(config: AppConfig, findings: Findings, of_procfile: Findings) -> None:
    """Warn of names of services that the app does not have, in the file where they stand."""
    hosts = Hosts(config)
    for one in texts(config):
        place, path = findings_for(one.path, findings, of_procfile)
        _check(hosts, path, one.text, place)


def check_given(config: AppConfig, environment: Mapping[str, str], findings: Findings) -> None:
    """Warn of such names in variables that app.toml does not have."""
    hosts = Hosts(config)
    for key, value in environment.items():
        _check(hosts, (key,), value, findings)


def _check(hosts: Hosts, path: KeyPath, text: str, findings: Findings) -> None:
    for name in hosts.unknown(text):
        what = f"names {quoted(name + SUFFIX)}, but the app has no such service"
        findings.warn(path, what, f"its services are {', '.join(hosts.services)}")


@dataclass(frozen=True, slots=True)
class Text:
    """Something that an app's containers are started with, and where app.toml has it."""

    path: KeyPath
    text: str
    variable: str = ""
    """Of which variable it is the value; empty for a command."""


def texts(config: AppConfig) -> Iterable[Text]:
    """Yield all such texts of an app."""
    yield from _values(("env",), config.env)
    if config.post_import:
        yield Text(("post_import",), config.post_import)
    for service in config.services:
        path = ("services", service.name)
        if service.command:
            yield Text((*path, "command"), service.command)
        yield from _values((*path, "env"), service.env)


def _values(path: KeyPath, entries: Iterable[EnvVar]) -> Iterable[Text]:
    for index, entry in enumerate(entries):
        yield Text((*path, index, "value"), entry.value, entry.key)


def findings_for(
    path: KeyPath, findings: Findings, of_procfile: Findings
) -> tuple[Findings, KeyPath]:
    """Return where to note what is said of a text: a command may stand in the Procfile."""
    line = (path[1],) if path[0] == "services" and path[-1] == "command" else ()
    if path not in findings.positions and line in of_procfile.positions:
        return of_procfile, line
    return findings, path
