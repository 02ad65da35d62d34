"""Strategies for whole app.tomls, as plain tables: right ones, and ones with something wrong."""

import copy
import json
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from hypothesis import strategies as st

Table = dict[str, Any]

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
# With names that a Secret's key may not have.
VARIABLES = st.from_regex(r"[ -<>-~]{1,12}", fullmatch=True) | st.sampled_from([".", "..", "..a"])
STEPS = st.from_regex(r"[a-z0-9_.]{1,8}", fullmatch=True).filter(lambda step: step != "..")
PATHS = st.lists(STEPS, min_size=1, max_size=3).map(lambda steps: "/" + "/".join(["x", *steps]))
DURATIONS = st.sampled_from(["90s", "5m", "1h30m", "1.5s", "+2m", "250ms", "1.s", ".5h", "3us"])
COUNTS = st.integers(1, 2**31 - 1)
ENVS = st.lists(
    st.fixed_dictionaries({"key": VARIABLES}, optional={"value": TEXTS}), max_size=3
).filter(lambda entries: not any("/miren/data/local" in e.get("value", "") for e in entries))

DISKS: st.SearchStrategy[Table] = st.fixed_dictionaries(
    {"name": NAMES, "mount_path": PATHS},
    optional={
        "provider": st.sampled_from(["miren", "local", "local", ""]),
        "size_gb": st.integers(0, 2**33 - 1),
        "filesystem": st.sampled_from(["ext4", "xfs", "btrfs", ""]),
        "read_only": st.booleans(),
        "lease_timeout": DURATIONS | st.just(""),
    },
)
AUTO: st.SearchStrategy[Table] = st.fixed_dictionaries(
    {"mode": st.just("auto")},
    optional={"requests_per_instance": COUNTS, "scale_down_delay": DURATIONS},
)
FIXED: st.SearchStrategy[Table] = st.fixed_dictionaries(
    {"mode": st.just("fixed")}, optional={"num_instances": COUNTS}
)


@st.composite
def services(draw: st.DrawFn, name: str) -> Table:
    """Return a right service."""
    service: Table = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "command": TEXTS,
                "image": st.sampled_from(["postgres:16", "redis", ""]),
                "port": st.integers(1, 65535),
                "port_name": TEXTS,
                "port_type": st.sampled_from(["http", "https", "grpc", "tcp", "udp", ""]),
                "env": ENVS,
                "disks": st.lists(
                    DISKS,
                    max_size=3,
                    unique_by=(itemgetter("name"), lambda disk: _plain(disk["mount_path"])),
                ),
            },
        )
    )
    concurrency: Table | None = draw(st.none() | AUTO | FIXED)
    if any(disk.get("provider") != "local" for disk in service.get("disks", [])):
        concurrency = draw(st.none() | st.just({"num_instances": 1}))
    elif concurrency and concurrency["mode"] == ("auto" if name == "web" else "fixed"):
        concurrency = draw(st.sampled_from([concurrency, concurrency | {"mode": ""}]))
    return service | ({"concurrency": concurrency} if concurrency is not None else {})


def _plain(path: str) -> str:
    return "/".join(step for step in path.split("/") if step not in ("", "."))


@st.composite
def right_apps(draw: st.DrawFn) -> Table:
    """Return the tables of an app.toml that is right."""
    names = draw(st.lists(st.just("web") | NAMES, max_size=3, unique=True))
    app: Table = draw(
        st.fixed_dictionaries(
            {"name": NAMES},
            optional={
                "env": ENVS,
                "include": st.lists(TEXTS, max_size=2),
                "post_import": TEXTS,
                "concurrency": st.integers(0, 2**31 - 1),
                "build": st.fixed_dictionaries(
                    {},
                    optional={
                        "dockerfile": TEXTS,
                        "onbuild": st.lists(TEXTS, max_size=2),
                        "version": TEXTS,
                        "alpine_image": TEXTS,
                    },
                ),
            },
        )
    )
    app["services"] = {name: draw(services(name)) for name in names}
    # Only one service can hold a miren disk.
    taken: set[str] = set()
    for service in app["services"].values():
        disks = [disk for disk in service.get("disks", []) if disk["name"] not in taken]
        taken |= {disk["name"] for disk in disks}
        if "disks" in service:
            service["disks"] = disks
        _settle(service)
    return app


def _settle(service: Table) -> None:
    # A service that lost its miren disk has an own count of instances again.
    if service.get("concurrency") == {"num_instances": 1}:
        service["concurrency"]["mode"] = "fixed"


ODD_VALUES = st.sampled_from(
    [
        *("", "text", "5m", "0s", "-5m", "5", "auto", "fixed", "local", "miren", "ext4", "a b"),
        *("/data", "/", "//.", "data", "/a/../b", "/a:b", "/..b/...", "/.", "a\nb", "a\n", "a\0"),
        *("-a", "a-", "a" * 64, "a" * 129, "A=B", "ä", "/\x1b"),
        *(0, 1, 2, -1, 65535, 65536, 2**31, 2**33, 2**33 - 1, 0.5, True, False),
        *([], {}, [1], ["a"], [{}], {"a": 1}, ["a\0"]),
    ]
)
KEYS = st.sampled_from(
    [
        *("name", "env", "build", "services", "concurrency", "include", "post_import", "zzz"),
        *("command", "image", "port", "port_name", "port_type", "disks", "key", "value"),
        *("mode", "num_instances", "requests_per_instance", "scale_down_delay"),
        *("mount_path", "provider", "size_gb", "filesystem", "read_only", "lease_timeout"),
        *("dockerfile", "onbuild", "version", "alpine_image", "web", "my_db", "a b", "", "-"),
    ]
)


@st.composite
def changed_apps(draw: st.DrawFn) -> Table:
    """Return a right app.toml's tables with up to three changes, which may make it wrong."""
    app = copy.deepcopy(draw(right_apps()))
    for _ in range(draw(st.integers(1, 3))):
        tables = list(_tables(app))
        table = tables[draw(st.integers(0, len(tables) - 1))]
        key = draw(st.sampled_from(sorted(table)) | KEYS if table else KEYS)
        if draw(st.booleans()) and key in table:
            del table[key]
        else:
            table[key] = copy.deepcopy(draw(ODD_VALUES))
    return app


def _tables(value: object) -> Iterator[Table]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
        if isinstance(child, dict | list):
            yield from _tables(child)


def as_toml(app: Table) -> str:
    """Write tables as TOML: a line for each key of the top level."""
    return "".join(f"{_text(key)} = {_inline(value)}\n" for key, value in app.items())


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    # JSON's escapes are TOML's too, but JSON leaves DEL bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
