"""Reading `[services.NAME]`, and the environment, which apps and services both have."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from csi.object_names import LONGEST_LABEL
from deploy.disk_entries import DiskUse, read_disk
from deploy.fields import Fields
from deploy.model import (
    AutoConcurrency,
    Concurrency,
    DiskSpec,
    EnvVar,
    FixedConcurrency,
    PortType,
    Service,
)
from deploy.names import miren_name_mistake, nearest_miren_name
from deploy.problems import quoted

_WEB = "web"
_WEB_PORT = 3000
LARGEST_PORT = 65535


class Mode(StrEnum):
    """What decides how many instances a service has."""

    AUTO = "auto"
    FIXED = "fixed"


_KEYS_OF_MODE = {
    Mode.AUTO: ("requests_per_instance", "scale_down_delay"),
    Mode.FIXED: ("num_instances",),
}


def implied_service() -> Service:
    """Return the service of an app that defines none: Miren runs its image as `web`."""
    return Service(_WEB, port=_WEB_PORT, port_type=PortType.HTTP, concurrency=AutoConcurrency())


def process(name: str, command: str) -> Service:
    """Return the service that a line of a Procfile defines."""
    if name == _WEB:
        return replace(implied_service(), command=command)
    return Service(name, command=command)


def _port_type(service: str) -> PortType:
    return PortType.HTTP if service == _WEB else PortType.TCP


def read_service(name: str, fields: Fields) -> tuple[Service, list[DiskUse]]:
    """Return a service, and its disks with their places, for the rules that span services."""
    if mistake := miren_name_mistake(name, LONGEST_LABEL):
        better = nearest_miren_name(name, LONGEST_LABEL) or "my-service"
        fields.error_here(f"a service's name {mistake}", f"write [services.{better}]")
    uses = [
        DiskUse(entry.path, name, disk)
        for entry in fields.tables("disks", "[[services.NAME.disks]]")
        if (disk := read_disk(entry))
    ]
    disks = tuple(use.disk for use in uses)
    service = Service(
        name,
        command=fields.string("command"),
        image=fields.string("image"),
        port=fields.integer("port", 1, LARGEST_PORT) or (_WEB_PORT if name == _WEB else None),
        port_name=fields.string("port_name"),
        port_type=fields.choice("port_type", PortType, _port_type(name)) or PortType.TCP,
        env=read_env(fields),
        concurrency=_read_concurrency(name, fields, disks),
        disks=disks,
    )
    return service, uses


def read_env(fields: Fields) -> tuple[EnvVar, ...]:
    """Return the `env` of an app or a service, in the file's order."""
    entries: list[EnvVar] = []
    given: set[str] = set()
    for entry in fields.tables("env", "[[env]]"):
        key = entry.required_string("key", "NAME") or ""
        # Kubernetes takes any printable ASCII but the equals sign.
        if not (key.isascii() and key.isprintable() and "=" not in key):
            what = f"is {quoted(key)}, which cannot name a variable"
            entry.error("key", what, 'write letters, digits and _, as in key = "NAME"')
        if key and key in given:
            entry.warn("key", f"gives {quoted(key)} again", "keep one: the last one is used")
        given.add(key)
        entries.append(EnvVar(key, entry.string("value") or ""))
    return tuple(entries)


def _read_concurrency(service: str, fields: Fields, disks: Sequence[DiskSpec]) -> Concurrency:
    """Read `concurrency`; a miren disk, held by one instance at a time, decides its default."""
    held = next((disk for disk in disks if disk.is_miren), None)
    default = Mode.AUTO if service == _WEB and not held else Mode.FIXED
    table = fields.table("concurrency", "[services.NAME.concurrency]")
    if table is None:
        return AutoConcurrency() if default is Mode.AUTO else FixedConcurrency()
    mode = table.choice("mode", Mode, default)
    auto = AutoConcurrency(
        table.integer("requests_per_instance", 1) or 10,
        table.duration("scale_down_delay", 900.0, example="15m"),
    )
    fixed = FixedConcurrency(table.integer("num_instances", 1) or 1)
    if mode is not None:
        _refuse_mixing(table, mode, held)
    if held and mode is Mode.AUTO:
        what = (
            f'is "auto", but the miren disk {quoted(held.name)} is held by one instance at a time'
        )
        table.error("mode", what, 'write mode = "fixed", or leave out concurrency')
    if held and mode is Mode.FIXED and fixed.num_instances > 1:
        what = f"is {fixed.num_instances}, but the miren disk {quoted(held.name)} is held by one"
        table.error("num_instances", f"{what} instance at a time", "write num_instances = 1")
    return auto if mode is Mode.AUTO else fixed


def _refuse_mixing(table: Fields, mode: Mode, held: DiskSpec | None) -> None:
    other = Mode.FIXED if mode is Mode.AUTO else Mode.AUTO
    default = "because of its miren disk" if held else "by default"
    reason = "" if "mode" in table else f" {default}"
    for key in _KEYS_OF_MODE[other]:
        if key in table:
            what = f'belongs to mode "{other}", but the mode is "{mode}"{reason}'
            instead = "remove it" if held else f'remove it, or write mode = "{other}"'
            table.error(key, what, instead)
