"""A right app.toml becomes an AppConfig with every value, and every default, in place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import (
    AppConfig,
    AutoConcurrency,
    Build,
    DiskSpec,
    EnvVar,
    Filesystem,
    FixedConcurrency,
    PortType,
    Provider,
    Service,
    parse,
)

EVERY_KEY = """
name = "shop"
post_import = "bin/setup"
include = ["assets", "config"]
concurrency = 5

[build]
dockerfile = "Dockerfile.prod"
onbuild = ["make", "make assets"]
version = "1.24"
alpine_image = "alpine:3.20"

[[env]]
key = "LOG"
value = "info"

[services.web]
command = "bin/web"
image = "shop:latest"
port = 8080
port_name = "http"
port_type = "tcp"
env = [{ key = "LOG", value = "debug" }, { key = "SECRET" }]

[services.web.concurrency]
mode = "auto"
requests_per_instance = 20
scale_down_delay = "1h30m"

[services.worker.concurrency]
mode = "fixed"
num_instances = 3

[[services.worker.disks]]
name = "cache"
mount_path = "/cache"
provider = "local"
read_only = true

[[services.db.disks]]
name = "shop-data"
mount_path = "/var/lib/postgresql/data"
provider = "miren"
size_gb = 20
filesystem = "xfs"
read_only = true
lease_timeout = "90s"
"""

LOCAL_CACHE = DiskSpec("cache", "/cache", Provider.LOCAL, read_only=True)
SHOP_DATA = DiskSpec(
    name="shop-data",
    mount_path="/var/lib/postgresql/data",
    provider=Provider.MIREN,
    size_gb=20,
    filesystem=Filesystem.XFS,
    read_only=True,
    lease_timeout=90.0,
)


def services(config: AppConfig) -> dict[str, Service]:
    return {service.name: service for service in config.services}


def test_every_key_arrives() -> None:
    assert parse(EVERY_KEY) == AppConfig(
        name="shop",
        post_import="bin/setup",
        include=("assets", "config"),
        concurrency=5,
        build=Build("Dockerfile.prod", ("make", "make assets"), "1.24", "alpine:3.20"),
        env=(EnvVar("LOG", "info"),),
        services=(
            Service("db", disks=(SHOP_DATA,)),
            Service(
                "web",
                command="bin/web",
                image="shop:latest",
                port=8080,
                port_name="http",
                port_type=PortType.TCP,
                env=(EnvVar("LOG", "debug"), EnvVar("SECRET", "")),
                concurrency=AutoConcurrency(20, 5400.0),
            ),
            Service("worker", concurrency=FixedConcurrency(3), disks=(LOCAL_CACHE,)),
        ),
    )


def test_a_services_own_environment_wins() -> None:
    config = parse(EVERY_KEY)
    assert config.environment(services(config)["web"]) == {"LOG": "debug", "SECRET": ""}
    assert config.environment(services(config)["db"]) == {"LOG": "info"}


def test_what_is_left_out_has_its_default() -> None:
    config = parse('name = "shop"\n[services.web]\n[services.worker]')
    web, worker = config.services
    assert web == Service(
        "web", port=3000, port_type=PortType.HTTP, concurrency=AutoConcurrency(10, 900.0)
    )
    assert worker == Service("worker", port=None, concurrency=FixedConcurrency(1))
    assert config.build == Build()


def test_a_disk_that_says_the_least_is_a_writable_ext4_miren_disk() -> None:
    config = parse('name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"')
    assert config.disks == (
        DiskSpec(
            "data",
            "/data",
            Provider.MIREN,
            size_gb=None,
            filesystem=Filesystem.EXT4,
            read_only=False,
            lease_timeout=300.0,
        ),
    )


def test_an_app_without_services_runs_its_image_as_web() -> None:
    assert [service.name for service in parse('name = "shop"').services] == ["web"]


def test_a_web_service_with_a_miren_disk_has_one_instance() -> None:
    disk = '[[services.web.disks]]\nname = "data"\nmount_path = "/data"\n'
    for concurrency in ("", "[services.web.concurrency]\nnum_instances = 1\n"):
        [web] = parse(f'name = "shop"\n{disk}{concurrency}').services
        assert web.concurrency == FixedConcurrency(1)


def test_a_web_service_with_a_local_disk_scales_as_ever() -> None:
    disk = 'name = "data"\nmount_path = "/data"\nprovider = "local"'
    [web] = parse(f'name = "shop"\n[[services.web.disks]]\n{disk}').services
    assert web.concurrency == AutoConcurrency()


def test_a_local_disk_may_be_in_several_services_and_at_several_paths() -> None:
    config = parse("""
        name = "shop"
        services.a.disks = [
            { name = "files", provider = "local", mount_path = "/files" },
            { name = "files", provider = "local", mount_path = "/more" },
        ]
        services.b.disks = [{ name = "files", provider = "local", mount_path = "/files" }]
    """)
    assert [disk.mount_path for disk in config.disks] == ["/files", "/more", "/files"]
    assert config.warnings == ()


@pytest.mark.parametrize(
    "empty", ['provider = ""', 'filesystem = ""', 'lease_timeout = ""', "size_gb = 0"]
)
def test_an_empty_value_is_the_same_as_none(empty: str) -> None:
    disk = 'name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"\n'
    assert parse(disk + empty) == parse(disk)


@pytest.mark.parametrize("path", ["/data/", "//data", "/./data/.", "/data//"])
def test_a_mount_path_is_kept_in_its_plain_form(path: str) -> None:
    disk = f'name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "{path}"'
    assert parse(disk).disks[0].mount_path == "/data"


@pytest.mark.parametrize(
    "name", ["a" * 128, "A", "0", "a-b--c", "Data-2024"], ids=lambda name: str(name)[:12]
)
def test_the_names_that_miren_allows_are_allowed(name: str) -> None:
    disk = f'name = "a"\n[[services.db.disks]]\nname = "{name}"\nmount_path = "/data"'
    assert parse(disk).disks[0].name == name


def test_the_largest_size_is_allowed() -> None:
    disk = 'name = "a"\n[[services.db.disks]]\nname = "b"\nmount_path = "/b"\n'
    assert parse(f"{disk}size_gb = 8589934591").disks[0].size_gb == 2**33 - 1


def warnings(content: str) -> list[str]:
    return [str(warning) for warning in parse(content).warnings]


def test_settings_that_a_local_disk_does_not_have_are_warned_about() -> None:
    content = """name = "shop"
[[services.web.disks]]
name = "files"
mount_path = "/files"
lease_timeout = "1m"
filesystem = "xfs"
provider = "local"
size_gb = 5
"""
    ending = "means nothing for a local disk; "
    ending += 'remove it, or write provider = "miren" for a disk of its own'
    assert warnings(content) == [
        f"app.toml:5:1: services.web.disks[0].lease_timeout: {ending}",
        f"app.toml:6:1: services.web.disks[0].filesystem: {ending}",
        f"app.toml:8:1: services.web.disks[0].size_gb: {ending}",
    ]
    assert parse(content).disks == (DiskSpec("files", "/files", Provider.LOCAL),)


def test_one_name_for_a_miren_and_a_local_disk_is_warned_about() -> None:
    content = """name = "shop"
[[services.db.disks]]
name = "data"
mount_path = "/data"
[[services.web.disks]]
name = "data"
provider = "local"
mount_path = "/data"
"""
    [warning] = warnings(content)
    assert warning == (
        'app.toml:6:1: services.web.disks[0].name: is "data" with provider "local", but with '
        '"miren" at services.db.disks[0] (line 2); these are two disks: name them apart'
    )


def test_a_variable_given_twice_is_warned_about_and_the_last_is_used() -> None:
    content = """name = "shop"
[[env]]
key = "A"
value = "1"
[[env]]
key = "A"
value = "2"
"""
    config = parse(content)
    assert warnings(content) == [
        'app.toml:6:1: env[1].key: gives "A" again; keep one: the last one is used'
    ]
    assert config.environment(config.services[0]) == {"A": "2"}


TABLES = [
    '[[env]]\nkey = "LOG"\nvalue = "info"\n',
    '[build]\nversion = "1"\n',
    '[services.web]\ncommand = "bin/web"\n',
    '[services.db.concurrency]\nmode = "fixed"\n',
    '[[services.db.disks]]\nname = "data"\nmount_path = "/data"\nsize_gb = 1\n',
    '[[services.worker.disks]]\nname = "files"\nmount_path = "/files"\nprovider = "local"\n',
]


@given(st.permutations(TABLES))
def test_the_order_of_tables_does_not_matter(tables: list[str]) -> None:
    head = 'name = "shop"\n'
    assert parse(head + "".join(tables)) == parse(head + "".join(TABLES))
