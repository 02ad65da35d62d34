"""Apps from before local disks were asked for still find /miren/data/local."""

import pytest

from deploy import DiskSpec, Options, Provider, parse, translate_disks, translate_services

LOCAL_DATA = DiskSpec("data", "/miren/data/local", Provider.LOCAL)

APP_WIDE = """name = "shop"
[[env]]
key = "DATABASE"
value = "sqlite:///miren/data/local/shop.db"
"""


def disks_of(content: str) -> dict[str, tuple[DiskSpec, ...]]:
    return {service.name: service.disks for service in parse(content).services}


def test_an_app_wide_variable_gives_the_disk_to_every_service() -> None:
    config = parse(APP_WIDE + "[services.web]\n[services.worker]\n")
    assert {service.name: service.disks for service in config.services} == {
        "web": (LOCAL_DATA,),
        "worker": (LOCAL_DATA,),
    }
    [warning] = config.warnings
    assert str(warning) == (
        "app.toml:2:1: env[0]: DATABASE mentions /miren/data/local, where no disk is mounted: "
        'the local disk "data" was added there to "web", "worker"; '
        "better write it into the file:\n"
        "\n"
        "[[services.web.disks]]\n"
        'name = "data"\n'
        'provider = "local"\n'
        'mount_path = "/miren/data/local"\n'
        "\n"
        "[[services.worker.disks]]\n"
        'name = "data"\n'
        'provider = "local"\n'
        'mount_path = "/miren/data/local"'
    )


def test_what_the_warning_recommends_is_the_same_app_without_the_warning() -> None:
    content = APP_WIDE + "[services.web]\n[services.worker]\n"
    migrated = parse(content)
    recommended = migrated.warnings[0].instead.partition("\n\n")[2]
    explicit = parse(content + recommended)
    assert explicit == migrated
    assert explicit.warnings == ()


def test_an_app_without_services_has_it_in_web() -> None:
    assert disks_of(APP_WIDE) == {"web": (LOCAL_DATA,)}


def test_a_services_own_variable_gives_the_disk_to_that_service_only() -> None:
    content = """name = "shop"
        services.web.env = [{ key = "A", value = "x" }, { key = "B", value = "/miren/data/local" }]
        services.worker.command = "work"
    """
    config = parse(content)
    assert disks_of(content) == {"web": (LOCAL_DATA,), "worker": ()}
    assert [warning.key for warning in config.warnings] == ["services.web.env[1]"]


def test_a_service_that_gives_the_variable_another_value_does_not_need_the_disk() -> None:
    own = '[[services.web.env]]\nkey = "DATABASE"\nvalue = "postgres://db"\n'
    assert disks_of(APP_WIDE + own + "[services.worker]\n") == {"web": (), "worker": (LOCAL_DATA,)}


@pytest.mark.parametrize(
    "path", ["/miren/data/local", "/miren/data/local/", "/miren/data", "/miren"]
)
@pytest.mark.parametrize("provider", ["local", "miren"])
def test_a_disk_that_is_mounted_there_or_above_is_enough(path: str, provider: str) -> None:
    disk = f'name = "mine"\nprovider = "{provider}"\nmount_path = "{path}"\n'
    config = parse(f"{APP_WIDE}[[services.web.disks]]\n{disk}")
    assert [disk.name for disk in config.disks] == ["mine"]
    assert config.warnings == ()


@pytest.mark.parametrize("path", ["/miren/data/local/db", "/miren/data/loc", "/data"])
def test_a_disk_elsewhere_stays_and_the_local_one_is_added(path: str) -> None:
    disk = f'name = "mine"\nmount_path = "{path}"\n'
    config = parse(f"{APP_WIDE}[[services.web.disks]]\n{disk}")
    assert config.disks == (DiskSpec("mine", path), LOCAL_DATA)


def test_an_app_that_does_not_mention_it_has_no_disk() -> None:
    assert disks_of('name = "shop"\nenv = [{ key = "A", value = "/miren/data" }]') == {"web": ()}


def test_an_overridden_mention_still_has_its_disk_and_only_once() -> None:
    # What an earlier deployment wrote there is kept in reach.
    app = parse(APP_WIDE)
    for value in ("elsewhere", "/miren/data/local/x"):
        options = Options(image="shop:1", environment={"DATABASE": value})
        assert translate_disks(app, options) == translate_disks(app)


def test_a_variable_of_the_options_brings_the_disk_and_its_mount() -> None:
    app = parse('name = "shop"\n[services.web]')
    options = Options(image="shop:1", environment={"DATABASE": "/miren/data/local/shop.db"})

    volume, claim = translate_disks(app, options)
    assert volume["spec"]["storageClassName"] == "miren-local"
    (deployment,) = (one for one in translate_services(app, options) if one["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    name = claim["metadata"]["name"]
    assert spec["volumes"] == [{"name": name, "persistentVolumeClaim": {"claimName": name}}]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": name, "mountPath": "/miren/data/local"}
    ]
    assert "affinity" in spec
