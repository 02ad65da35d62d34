"""Disks as PersistentVolumes and claims: whole manifests as golden files, rules one by one."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from csi import local_id
from csi.disk import FILESYSTEMS
from csi.persistent_volume import Pin
from deploy import Filesystem, Manifest, Options, parse, to_yaml, translate_disks

GOLDEN = Path(__file__).with_name("golden")
APPS = sorted(GOLDEN.glob("*.toml"))


@pytest.mark.parametrize("app", APPS, ids=lambda path: str(path.stem))
def test_an_app_becomes_exactly_its_golden_manifests(app: Path) -> None:
    manifests = to_yaml(translate_disks(parse(app)))
    assert manifests == app.with_suffix(".yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("app", APPS, ids=lambda path: str(path.stem))
def test_the_text_reads_as_the_manifests_it_was_made_of(app: Path) -> None:
    manifests = translate_disks(parse(app))
    assert list(yaml.safe_load_all(to_yaml(manifests))) == manifests


def disks(*lines: str, app: str = "shop") -> list[Manifest]:
    table = "\n".join(lines)
    head = f'name = "{app}"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"\n'
    return translate_disks(parse(head + table))


@pytest.fixture
def volume() -> Manifest:
    return disks("size_gb = 20")[0]


@pytest.fixture
def claim() -> Manifest:
    return disks("size_gb = 20")[1]


def test_volume_and_claim_are_bound_to_each_other(volume: Manifest, claim: Manifest) -> None:
    assert volume["metadata"]["name"] == claim["spec"]["volumeName"] == "data"
    reference = volume["spec"]["claimRef"]
    assert reference["name"] == claim["metadata"]["name"]
    assert reference["namespace"] == claim["metadata"]["namespace"] == "default"
    assert volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"]


def test_a_volume_shows_its_size_and_a_claim_asks_for_no_more_than_any_disk_has(
    volume: Manifest, claim: Manifest
) -> None:
    assert volume["spec"]["capacity"] == {"storage": "20Gi"}
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}


@pytest.mark.parametrize(
    "other",
    ['filesystem = "btrfs"', "size_gb = 30", 'lease_timeout = "1h"', "read_only = true", ""],
)
def test_what_kubernetes_cannot_change_never_differs(
    volume: Manifest, claim: Manifest, other: str
) -> None:
    changed, its_claim = disks(other, app="blog")

    for key in ("csi", "nodeAffinity"):
        assert changed["spec"][key] == volume["spec"][key]
    assert its_claim["spec"] == claim["spec"]


def test_only_one_pod_at_a_time_gets_a_miren_disk(volume: Manifest, claim: Manifest) -> None:
    assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_deleting_the_claim_keeps_the_data(volume: Manifest) -> None:
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_a_volume_names_its_app_only_as_the_creator(volume: Manifest) -> None:
    assert volume["metadata"]["annotations"].pop("disk.miren.dev/created-by") == "shop"
    assert "shop" not in str(volume)


def test_a_disk_without_a_size_leaves_it_to_the_existing_disk() -> None:
    volume, _ = disks()
    assert "disk.miren.dev/size" not in volume["metadata"]["annotations"]
    assert volume["spec"]["capacity"] == {"storage": "1Gi"}


def test_a_volume_is_read_only_when_its_disk_is(volume: Manifest) -> None:
    key = "disk.miren.dev/read-only"
    assert key not in volume["metadata"]["annotations"]
    assert disks("read_only = true")[0]["metadata"]["annotations"][key] == "true"


def test_two_apps_with_one_disk_mean_one_volume_but_have_local_disks_of_their_own() -> None:
    assert disks(app="a")[0]["spec"] == disks(app="b")[0]["spec"]
    handles = [
        disks('provider = "local"', app=app)[0]["spec"]["csi"]["volumeHandle"] for app in "ab"
    ]
    assert handles == ["local/a/data", "local/b/data"]


def test_the_longest_local_disk_fits_what_csi_allows_and_the_driver_takes() -> None:
    names = f'name = "{"a" * 63}"\n[[services.db.disks]]\nname = "{"b" * 58}"\n'
    volume, _ = translate_disks(parse(f'{names}provider = "local"\nmount_path = "/data"'))
    handle = volume["spec"]["csi"]["volumeHandle"]
    assert len(handle) == 128
    assert local_id.parse(handle) == local_id.LocalId("a" * 63, "b" * 58)


def test_the_filesystems_of_an_app_are_those_of_the_driver() -> None:
    assert tuple(Filesystem) == FILESYSTEMS


def affinity(node: str | None) -> object:
    app = 'name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"'
    pinned = Options(pin=Pin.to_node(node)) if node else Options()
    volume, _ = translate_disks(parse(app), pinned)
    [term] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return term["matchExpressions"]


def test_a_volume_is_pinned_to_the_coordinator() -> None:
    assert affinity(None) == [
        {"key": "disk.miren.dev/coordinator", "operator": "In", "values": ["true"]}
    ]


def test_a_volume_is_pinned_to_the_node_that_is_named() -> None:
    assert affinity("server-1.example") == [
        {
            "key": "topology.disk.csi.miren.dev/node",
            "operator": "In",
            "values": ["server-1.example"],
        }
    ]


def test_the_claims_are_in_the_namespace_that_is_named() -> None:
    app = parse('name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"')
    volume, claim = translate_disks(app, Options(namespace="shop"))
    assert claim["metadata"]["namespace"] == "shop"
    assert volume["spec"]["claimRef"]["namespace"] == "shop"


@pytest.mark.parametrize("namespace", ["", "Shop", "a b", "a" * 64, "-a"])
def test_a_namespace_that_is_none_is_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="is no namespace"):
        Options(namespace=namespace)


@pytest.mark.parametrize("node", ["", "a b", "a" * 64, "-a", "a/b"])
def test_a_node_that_is_none_is_refused(node: str) -> None:
    with pytest.raises(ValueError, match="is no node name"):
        Options(pin=Pin.to_node(node))


USES = [
    ("a", "files", "local"),
    ("b", "files", "local"),
    ("c", "zeta", "miren"),
    ("d", "Alpha", "miren"),
    ("e", "files", "miren"),
]
TABLES = [
    f'[[services.{service}.disks]]\nname = "{disk}"\nprovider = "{provider}"\nmount_path = "/x"\n'
    for service, disk, provider in USES
]


@given(st.permutations(TABLES))
def test_the_manifests_and_their_order_do_not_depend_on_the_files_order(tables: list[str]) -> None:
    head = 'name = "shop"\n'
    assert translate_disks(parse(head + "".join(tables))) == translate_disks(
        parse(head + "".join(TABLES))
    )


# kubectl's YAML takes each of these for a number, a boolean, a date or nothing at all.
NOT_STRINGS = ["1e5", "1E05", "0o7", "0x1f", "007", "12", "2024-01-01", "y", "N", "no", "null"]


@pytest.mark.parametrize("name", NOT_STRINGS)
def test_a_name_that_looks_like_something_else_is_quoted(name: str) -> None:
    assert to_yaml([{"name": name}]) == f"---\nname: '{name}'\n"
