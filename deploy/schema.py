"""The JSON Schema of app.toml, made from the model: what editors complete and check while typing.

`python -m deploy.schema` writes it to deploy/app.schema.json. It is in draft 7, the newest that the
TOML extensions of editors know well, and without allOf, beside which they show no description:
https://json-schema.org/draft-07/json-schema-validation

What the parser accepts, the schema accepts. The reverse cannot hold for rules that span tables (two
services with one disk, a key given twice) and for 80.0, which JSON Schema takes for an integer.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from csi.duration import format_duration
from csi.object_names import LONGEST_LABEL
from deploy.disk_entries import LARGEST_GIB, LONGEST_PATH
from deploy.fields import LARGEST_COUNT
from deploy.key_descriptions import KEYS, SECTIONS, Described
from deploy.model import (
    AppConfig,
    AutoConcurrency,
    Build,
    Concurrency,
    DiskSpec,
    EnvVar,
    FixedConcurrency,
    Provider,
    Service,
)
from deploy.names import LONGEST_HANDLE, LONGEST_LOCAL_NAME
from deploy.services import LARGEST_PORT, Mode

FILE = Path(__file__).with_name("app.schema.json")

Schema = dict[str, Any]

_NAME = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"
# Printable ASCII but the equals sign.
_VARIABLE = "^[ -<>-~]+$"
_NO_NUL = r"^[^\u0000]*$"
_UNIT = "(ns|us|\u00b5s|\u03bcs|ms|s|m|h)"
_DURATION = rf"^(\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+){_UNIT})+)?$"
_ZERO = "^[^1-9]+$"
_CHARACTER = r"[^/:\u0000-\u001f\u007f]"
# A step of a path that is not empty, not "." and not "..".
_STEP = (
    rf"([^./:\u0000-\u001f\u007f]{_CHARACTER}*"
    rf"|\.[^./:\u0000-\u001f\u007f]{_CHARACTER}*|\.\.{_CHARACTER}+)"
)
_MOUNT_PATH = rf"^/(\.?/)*{_STEP}(/(\.?|{_STEP}))*$"

_SCALARS: Mapping[object, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string", "pattern": _NO_NUL},
    # Seconds in the model, a Go duration in the file.
    float: {"type": "string", "pattern": _DURATION, "not": {"pattern": _ZERO}},
}

# What a value must be beyond its type.
_LIMITS: Mapping[tuple[type, str], Schema] = {
    (AppConfig, "name"): {"pattern": _NAME, "maxLength": LONGEST_LABEL},
    (AppConfig, "concurrency"): {"minimum": 0, "maximum": LARGEST_COUNT},
    (Service, "port"): {"minimum": 1, "maximum": LARGEST_PORT},
    (DiskSpec, "name"): {"pattern": _NAME, "maxLength": LONGEST_HANDLE},
    (DiskSpec, "mount_path"): {"pattern": _MOUNT_PATH, "maxLength": LONGEST_PATH},
    (DiskSpec, "size_gb"): {"minimum": 0, "maximum": LARGEST_GIB},
    (EnvVar, "key"): {"pattern": _VARIABLE},
    (AutoConcurrency, "requests_per_instance"): {"minimum": 1, "maximum": LARGEST_COUNT},
    (FixedConcurrency, "num_instances"): {"minimum": 1, "maximum": LARGEST_COUNT},
}
_REQUIRED: Mapping[type, list[str]] = {
    AppConfig: ["name"],
    DiskSpec: ["name", "mount_path"],
    EnvVar: ["key"],
}
# Fields of the model that are no keys of their table.
_NO_KEYS = {(AppConfig, "warnings"), (Service, "name")}
_MODE = (
    "auto: as many instances as the requests need. fixed: always the same number. "
    "Default: auto for web without a miren disk, else fixed."
)
_KEYS_OF_MODE: Mapping[str, type] = {"auto": AutoConcurrency, "fixed": FixedConcurrency}
_HAS_MIREN_DISK: Schema = {
    "required": ["disks"],
    "properties": {
        "disks": {
            "type": "array",
            "contains": {
                "type": "object",
                "not": {"required": ["provider"], "properties": {"provider": {"const": "local"}}},
            },
        }
    },
}


def make_schema() -> Schema:
    """Return the schema of a whole app.toml."""
    top = _table(AppConfig)
    top["properties"]["services"] = {
        "description": top["properties"]["services"]["description"],
        "type": "object",
        "propertyNames": {"pattern": _NAME, "maxLength": LONGEST_LABEL},
        "properties": {"web": _reference("WebService")},
        "additionalProperties": _reference("Service"),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "app.toml",
        **top,
        "definitions": {
            "WebService": _service(default_mode="auto"),
            "Service": _service(default_mode="fixed"),
            "Concurrency": _concurrency(),
            "DiskSpec": _disk(),
            "EnvVar": _table(EnvVar),
            "Build": _table(Build),
        },
    }


def as_text(schema: Schema) -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(schema, indent=2) + "\n"


def _table(kind: type) -> Schema:
    """Return the schema of a table that becomes this type of the model."""
    required = {"required": _REQUIRED[kind]} if kind in _REQUIRED else {}
    return {
        "description": SECTIONS[kind],
        "type": "object",
        "properties": _keys(kind),
        "additionalProperties": False,
        **required,
    }


def _keys(kind: type) -> Schema:
    hints = get_type_hints(kind)
    return {
        field.name: _key(kind, field, hints[field.name])
        for field in fields(kind)
        if (kind, field.name) not in _NO_KEYS
    }


def _key(kind: type, field: "Field[object]", hint: object) -> Schema:
    value = _value(hint, _LIMITS.get((kind, field.name), {}))
    # Draft 7 ignores what stands beside a reference; what is referred to is described itself.
    return value if "$ref" in value else _described(KEYS[kind][field.name], value, _default(field))


def _described(described: Described, value: Schema, default: object = None) -> Schema:
    if described.absent:
        default = None  # there are several
    shown = described.absent or ("" if default is None else json.dumps(default))
    return {
        "description": f"{described.meaning} Default: {shown}." if shown else described.meaning,
        **value,
        **({} if default is None else {"default": default}),
        **({"examples": list(described.examples)} if described.examples else {}),
    }


def _default(field: "Field[object]") -> object:
    """Return what holds where the key is left out, if that can be written."""
    value: object = field.default
    if value is MISSING or value in ((), ""):
        return None
    return format_duration(value) if isinstance(value, float) else value


def _value(hint: object, limits: Schema) -> Schema:
    """Return the schema of a value that becomes this type."""
    given = [option for option in get_args(hint) if option is not NoneType]
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _value(given[0], {})}
    if hint == Concurrency:
        return _reference("Concurrency")
    # TOML has no null: what is optional is left out.
    kind: Any = given[0] if given else hint
    if kind in _SCALARS:
        return {**_SCALARS[kind], **limits}
    if issubclass(kind, StrEnum):
        return _choice(kind)
    return _reference(kind.__name__)


def _choice(kind: type[StrEnum]) -> Schema:
    # Empty is the same as left out, but nothing for an editor to offer.
    values = [choice.value for choice in kind]
    return {"type": "string", "anyOf": [{"enum": values}, {"maxLength": 0}]}


def _reference(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{definition}"}


def _disk() -> Schema:
    is_local = {"required": ["provider"], "properties": {"provider": {"const": Provider.LOCAL}}}
    shorter = {"properties": {"name": {"maxLength": LONGEST_LOCAL_NAME}}}
    return {**_table(DiskSpec), "if": is_local, "then": shorter}


def _concurrency() -> Schema:
    keys = {
        "mode": {"description": _MODE, **_choice(Mode)},
        **_keys(AutoConcurrency),
        **_keys(FixedConcurrency),
    }
    table = {"type": "object", "properties": keys, "additionalProperties": False}
    return _described(KEYS[Service]["concurrency"], table)


def _service(default_mode: str) -> Schema:
    """Return the schema of a service; a miren disk makes one instance of it, whatever it is."""
    alone = _of_mode("fixed", is_default=True)
    alone["properties"]["num_instances"] = {"const": 1}
    either = [_of_mode(mode, is_default=mode == default_mode) for mode in _KEYS_OF_MODE]
    return {
        **_table(Service),
        "if": _HAS_MIREN_DISK,
        "then": {"properties": {"concurrency": alone}},
        "else": {"properties": {"concurrency": {"anyOf": either}}},
    }


def _of_mode(mode: str, *, is_default: bool) -> Schema:
    others = [kind for other, kind in _KEYS_OF_MODE.items() if other != mode]
    allowed = {"mode": {"enum": [mode, ""] if is_default else [mode]}}
    forbidden = {field.name: False for kind in others for field in fields(kind)}
    required = {} if is_default else {"required": ["mode"]}
    return {"properties": {**allowed, **forbidden}, **required}


if __name__ == "__main__":
    FILE.write_text(as_text(make_schema()), encoding="utf-8")
