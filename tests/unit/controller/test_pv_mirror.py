"""`kubectl get pv` shows every disk as it is: what the mirror changes, applied to volumes.

The phases that Kubernetes' own binder makes of it are seen in tests/cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.pv_mirror import Correct, Make, Mirror, Remove
from controller.workloads import Reference, VolumeClaim, claim_of, volume_of
from csi.disk import DEFAULT_LEASE_TIMEOUT, GIB, Content, Disk
from csi.kubernetes_api import Object
from deploy import parse, translate_disks
from tests.unit.controller.cluster_objects import UID, VOLUMES, claim, volume
from tests.unit.controller.memory_api import MemoryApi

NODE = "coordinator"
MIRROR = Mirror("miren-system", lambda: NODE)
DISK = Disk("pgdata", GIB)

NEW_UID = "0e1b2c3d-0000-4000-8000-00000000000b"
PROVISIONED = f"pvc-{UID}"


@dataclass(slots=True)
class Shown:
    """What the cluster shows once the mirror has done its work."""

    volumes: dict[str, Object] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Claim, reason and sentence."""
    changed: list[str] = field(default_factory=list)
    """Names of volumes made or corrected, in that order."""

    def reserved(self, name: str = "pgdata") -> str:
        """For which claim a volume is, and for which one of that name: `namespace/name uid`."""
        ref = self.volumes[name]["spec"]["claimRef"]
        return f"{ref['namespace']}/{ref['name']} {ref.get('uid', '')}".strip()

    def capacity(self, name: str = "pgdata") -> int:
        return int(self.volumes[name]["spec"]["capacity"]["storage"])


def mirrored(
    disks: Sequence[Disk] = (),
    volumes: Sequence[Object] = (),
    claims: Sequence[Object] = (),
    *,
    everywhere: bool = True,
) -> Shown:
    api = MemoryApi()
    seen = [volume_of(api.put(VOLUMES, one)) for one in volumes]
    shown = Shown()
    ours = [one for one in seen if one]
    asking = [claim_of(one) for one in claims]
    for change in MIRROR.changes(disks, ours, asking, everywhere=everywhere):
        if isinstance(change, Make):
            shown.changed.append(api.create(VOLUMES, change.manifest)["metadata"]["name"])
        elif isinstance(change, Correct):
            api.patch(f"{VOLUMES}/{change.volume.name}", change.patch)
            shown.changed.append(change.volume.name)
        elif isinstance(change, Remove):
            api.remove(f"{VOLUMES}/{change.volume.name}")
        else:
            shown.told.append((str(change.claim.reference), change.reason, change.message))
    shown.volumes = {one["metadata"]["name"]: one for one in api.list(VOLUMES)}
    return shown


# disks without a volume


def test_a_disk_that_nobody_asked_for_is_shown_and_kept_from_chance_claims() -> None:
    disk = Disk(
        "pgdata",
        3 * GIB,
        filesystem="xfs",
        created_by="shop",
        lease_timeout=90,
        node=NODE,
    )

    made = mirrored([disk]).volumes["pgdata"]

    assert made["spec"] == {
        "capacity": {"storage": str(3 * GIB)},
        "accessModes": ["ReadWriteOncePod"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "miren-disk",
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": "miren-system",
            "name": "pgdata",
        },
        "csi": {
            "driver": "disk.csi.miren.dev",
            "volumeHandle": "pgdata",
        },
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {
                                "key": "disk.miren.dev/coordinator",
                                "operator": "In",
                                "values": ["true"],
                            }
                        ]
                    }
                ]
            }
        },
    }
    annotations = made["metadata"]["annotations"]
    assert annotations["disk.miren.dev/mirror"] == "true"
    assert annotations["disk.miren.dev/filesystem"] == "xfs"
    assert annotations["disk.miren.dev/lease-timeout"] == "1m30s"
    assert annotations["disk.miren.dev/created-by"] == "shop"
    assert annotations["pv.kubernetes.io/provisioned-by"] == "disk.csi.miren.dev"


def test_a_disk_on_another_node_than_the_coordinator_is_pinned_there() -> None:
    made = mirrored([replace(DISK, node="worker")]).volumes["pgdata"]

    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "topology.disk.csi.miren.dev/node", "operator": "In", "values": ["worker"]}
    ]


def test_an_app_can_be_applied_over_the_volume_of_its_disk() -> None:
    app = parse(
        'name = "shop"\n[services.db]\nimage = "db"\n'
        '[[services.db.disks]]\nname = "pgdata"\nmount_path = "/data"\nsize_gb = 20'
    )
    made = mirrored([replace(DISK, node=NODE)]).volumes["pgdata"]

    applied, _ = translate_disks(app)

    # Kubernetes refuses to change these.
    for key in ("csi", "nodeAffinity"):
        assert made["spec"][key] == applied["spec"][key]


def test_a_claim_that_waits_gets_a_volume_as_large_as_it_asks_for() -> None:
    asking = claim(phase="Pending", requested=2 * GIB)

    assert mirrored([DISK], claims=[asking]).capacity() == 2 * GIB
    assert mirrored([DISK], claims=[claim(phase="Lost", requested=2 * GIB)]).capacity() == GIB


def test_a_name_that_kubernetes_does_not_allow_stays_that_of_the_disk() -> None:
    made = mirrored([Disk("My_Disk", GIB)]).volumes["my-disk-f090aeef"]

    assert made["spec"]["csi"]["volumeHandle"] == "My_Disk"
    assert made["metadata"]["annotations"]["disk.miren.dev/name"] == "My_Disk"
    assert made["spec"]["claimRef"]["name"] == "my-disk-f090aeef"


@pytest.mark.parametrize(
    ("content", "mode"),
    [(Content.RAW, "Block"), (Content.FORMATTED, None), (Content.PENDING, None)],
)
def test_a_raw_disk_is_a_block_volume(content: Content, mode: str | None) -> None:
    made = mirrored([replace(DISK, content=content)]).volumes["pgdata"]

    assert made["spec"].get("volumeMode") == mode


def test_a_claim_that_asks_by_name_gets_a_volume_that_suits_it() -> None:
    said = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeMode": "Block"}
    asking = claim(phase="Pending", spec=said)

    shown = mirrored([DISK], claims=[claim("other", phase="Pending"), asking])

    assert shown.reserved() == "default/pgdata"
    spec = shown.volumes["pgdata"]["spec"]
    assert {key: spec[key] for key in said} == said


def test_a_claim_that_lost_its_volume_gets_it_back() -> None:
    shown = mirrored([DISK], claims=[claim(phase="Lost")])

    # Kubernetes binds a lost claim to no volume but one that has its uid.
    assert shown.reserved() == f"default/pgdata {UID}"


def test_a_disk_that_is_being_provisioned_is_left_to_its_provisioner() -> None:
    asking = claim("data", phase="Pending", volume="", uid=UID)

    assert mirrored([Disk(PROVISIONED, GIB)], claims=[asking]).changed == []


def test_a_provisioned_disk_whose_claim_lost_its_volume_gets_it_back() -> None:
    lost = claim("data", phase="Lost", volume=PROVISIONED)

    shown = mirrored([Disk(PROVISIONED, GIB)], claims=[lost])

    assert shown.reserved(PROVISIONED) == f"default/data {UID}"


@pytest.mark.parametrize(
    ("creator", "reserved"),
    [
        ("default/data", "default/data"),
        ("shop", f"miren-system/{PROVISIONED}"),
        ("", f"miren-system/{PROVISIONED}"),
    ],
)
def test_a_provisioned_disk_whose_claim_is_gone_is_kept_for_a_claim_of_that_name(
    creator: str, reserved: str
) -> None:
    other = claim("other", phase="Pending", volume="", uid=NEW_UID)

    shown = mirrored([Disk(PROVISIONED, GIB, created_by=creator)], claims=[other])

    assert shown.reserved(PROVISIONED) == reserved


def test_a_disk_with_a_name_of_its_own_belongs_to_no_claim_before_one_asks() -> None:
    assert mirrored([replace(DISK, created_by="default/data")]).reserved() == "miren-system/pgdata"


def test_a_disk_with_a_volume_under_any_name_needs_no_other() -> None:
    by_hand = volume("by-hand", disk="pgdata", claim="pgdata")

    assert mirrored([DISK], [by_hand], [claim(volume="by-hand")]).changed == []


def test_missing_volumes_come_first() -> None:
    shown = mirrored([Disk("new", GIB), Disk("pgdata", 2 * GIB)], [volume()], [claim()])

    assert shown.changed == ["new", "pgdata"]


# for whom a volume is


def test_a_released_volume_waits_for_the_next_claim_of_its_name() -> None:
    shown = mirrored([DISK], [volume(phase="Released")])

    assert shown.reserved() == "default/pgdata"
    assert "resourceVersion" not in shown.volumes["pgdata"]["spec"]["claimRef"]


@pytest.mark.parametrize("phase", ["Pending", "Lost"])
def test_a_claim_made_anew_gets_its_volume_back(phase: str) -> None:
    again = claim(phase=phase, uid=NEW_UID)
    other = claim(namespace="another", phase="Pending", uid=UID)

    shown = mirrored([DISK], [volume(phase="Released")], [other, again])

    assert shown.reserved() == "default/pgdata"
    assert shown.told == []


def test_a_released_volume_goes_to_another_namespace_once_the_old_claim_is_gone() -> None:
    unrelated = claim("cache", volume="cache", uid="uid-of-cache")
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)

    shown = mirrored([DISK], [volume(phase="Released")], [unrelated, other])

    assert shown.reserved() == "another/pgdata"


def test_what_was_provisioned_for_a_claim_goes_to_no_other_namespace() -> None:
    left = volume(PROVISIONED, claim="data", phase="Released")
    other = claim("data", namespace="another", phase="Pending", uid=NEW_UID, volume=PROVISIONED)

    shown = mirrored([Disk(PROVISIONED, GIB)], [left], [other])

    assert shown.reserved(PROVISIONED) == "default/data"


def test_a_claim_of_another_name_gets_the_volume_that_it_asks_for() -> None:
    other = claim("restored", phase="Pending", uid=NEW_UID, volume="pgdata")

    shown = mirrored([DISK], [volume(phase="Released")], [other])

    assert shown.reserved() == "default/restored"


def test_a_volume_is_not_taken_from_its_old_claim_before_kubernetes_has_released_it() -> None:
    assert mirrored([DISK], [volume()], [claim(phase="Pending", uid=NEW_UID)]).changed == []
    assert mirrored([DISK], [volume()]).changed == []


def test_a_claim_that_the_volume_waits_for_is_there_before_it_is_bound() -> None:
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)
    waiting = volume(uid="", phase="Available")

    shown = mirrored([DISK], [waiting], [other, claim(phase="Pending")])

    assert shown.changed == []
    assert [about for about, _, _ in shown.told] == ["another/pgdata"]


def test_while_the_old_claim_is_there_who_asks_is_told_about_it() -> None:
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)
    bound = claim("elsewhere", namespace="third", uid="uid-of-third", volume="pgdata")

    shown = mirrored([DISK], [volume()], [other, bound, claim()])

    assert shown.changed == []
    assert shown.told == [
        (
            "another/pgdata",
            "DiskClaimed",
            'disk "pgdata" is claimed by default/pgdata; delete that claim first',
        )
    ]


def test_a_volume_that_waits_for_nobody_in_particular_goes_to_who_asks() -> None:
    waiting = volume(namespace="miren-system", uid="", phase="Available")
    first = claim(phase="Pending")
    second = claim(namespace="another", phase="Pending", uid=NEW_UID)

    assert mirrored([DISK], [waiting], [first, second]).reserved() == "default/pgdata"


def test_a_volume_that_is_reserved_is_not_touched_until_somebody_asks() -> None:
    waiting = volume(uid="", phase="Available")

    assert mirrored([DISK], [waiting]).changed == []
    shown = mirrored([DISK], [waiting], [claim(phase="Pending")])
    assert (shown.changed, shown.told) == ([], [])


def test_a_local_disk_too_is_free_for_the_next_claim_of_its_app() -> None:
    released = volume(phase="Released", disk="local/shop/data", capacity=7)

    shown = mirrored([], [released], [claim(phase="Pending", uid=NEW_UID)])

    assert shown.reserved() == "default/pgdata"
    assert (shown.capacity(), shown.told) == (7, [])
    assert mirrored([], [released]).reserved() == "default/pgdata"


@pytest.mark.parametrize(
    "left",
    [
        volume(phase="Released", reclaim="Delete"),
        volume(phase="Released", claim="", reclaim="Retain"),
        volume(phase="Released", deleting=True, capacity=7),
        volume(phase="Released", driver="other.example.com", capacity=7),
        volume(claim="", phase="Available"),
    ],
    ids=["deletes", "unclaimed", "being-deleted", "foreign", "by-hand"],
)
def test_other_volumes_are_left_alone(left: Object) -> None:
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)
    disk = Disk(left["spec"]["csi"]["volumeHandle"], GIB)
    shown = mirrored([disk] if volume_of(left) else [], [left], [other])

    assert (shown.changed, shown.told) == ([], [])


# how large it is


@pytest.mark.parametrize("size", [GIB // 2, 3 * GIB])
def test_a_bound_volume_is_as_large_as_its_disk(size: int) -> None:
    shown = mirrored([replace(DISK, size=size)], [volume()], [claim()])

    assert shown.capacity() == size
    assert shown.reserved() == f"default/pgdata {UID}"


def test_the_size_is_left_to_the_resizer_while_the_claim_grows() -> None:
    growing = claim(requested=3 * GIB, granted=GIB)

    assert mirrored([replace(DISK, size=3 * GIB)], [volume()], [growing]).changed == []
    grown = claim(requested=3 * GIB, granted=3 * GIB)
    assert mirrored([replace(DISK, size=3 * GIB)], [volume()], [grown]).capacity() == 3 * GIB


def test_a_waiting_volume_grows_but_stays_large_enough_for_its_claim() -> None:
    waiting = volume(uid="", phase="Available", capacity=2 * GIB)

    assert mirrored([replace(DISK, size=GIB)], [waiting]).capacity() == 2 * GIB
    assert mirrored([replace(DISK, size=3 * GIB)], [waiting]).capacity() == 3 * GIB


def test_a_claim_that_is_bound_but_not_granted_yet_does_not_grow() -> None:
    fresh = claim(requested=2 * GIB, granted=0, phase="Pending")

    assert mirrored([replace(DISK, size=2 * GIB)], [volume()], [fresh]).capacity() == 2 * GIB


# what is not there


def test_a_disk_that_nobody_can_make_is_told_to_the_claim() -> None:
    shown = mirrored([], [volume()], [claim()])

    assert shown.told == [
        (
            "default/pgdata",
            "DiskNotFound",
            'disk "pgdata" does not exist and no size specified for auto-creation',
        )
    ]
    assert shown.changed == []


OURS = {"disk.miren.dev/mirror": "true"}


def test_a_volume_that_was_made_for_a_disk_goes_with_it() -> None:
    made = mirrored([DISK]).volumes["pgdata"]

    assert mirrored([], [made]).volumes == {}
    assert mirrored([DISK], [made]).changed == []
    assert list(mirrored([], [made], [claim("cache")]).volumes) == []


def test_while_a_node_is_silent_no_disk_counts_as_gone() -> None:
    made = mirrored([DISK]).volumes["pgdata"]
    cache = volume("cache", phase="Released")

    shown = mirrored([Disk("cache", 2 * GIB)], [made, cache], everywhere=False)

    assert set(shown.volumes) == {"pgdata", "cache"}
    assert shown.changed == ["cache"]
    assert mirrored([], [volume()], [claim()], everywhere=False).told == []


@pytest.mark.parametrize(
    ("kept", "claims"),
    [
        (volume(phase="Available", uid=""), []),
        (volume(phase="Available", uid="", attributes={"size": "1Gi"}), []),
        (volume(annotations=OURS), [claim()]),
        (volume(annotations=OURS, attributes={"size": "1Gi"}), [claim()]),
        (volume(annotations=OURS, phase="Released", deleting=True), []),
        (volume(annotations=OURS, phase="Available", disk="local/shop/data"), []),
        (volume(annotations=OURS, phase="Available", driver="other.example.com"), []),
    ],
    ids=["by-hand", "to-be-made", "claimed", "claimed-with-size", "deleting", "local", "foreign"],
)
def test_no_other_volume_goes(kept: Object, claims: list[Object]) -> None:
    assert list(mirrored([], [kept], claims).volumes) == ["pgdata"]


def test_a_disk_that_its_first_use_makes_is_nobodys_trouble() -> None:
    assert mirrored([], [volume(attributes={"size": "1Gi"})], [claim()]).told == []
    assert mirrored([], [volume()], []).told == []


# whatever there is


NAMESPACES = st.sampled_from(["default", "another", "miren-system"])
UIDS = st.sampled_from([UID, NEW_UID])
NAMES = st.sampled_from(["pgdata", "uploads", PROVISIONED])
SIZES = st.sampled_from([GIB, 2 * GIB, 3 * GIB])

A_DISK = st.builds(Disk, NAMES, SIZES, lease_timeout=st.just(DEFAULT_LEASE_TIMEOUT))
A_VOLUME = st.builds(
    volume,
    NAMES,
    namespace=NAMESPACES,
    claim=st.sampled_from(["pgdata", "data"]),
    uid=st.one_of(st.just(""), UIDS),
    phase=st.sampled_from(["Available", "Bound", "Released", "Failed", ""]),
    capacity=SIZES,
    reclaim=st.sampled_from(["Retain", "Delete"]),
    deleting=st.booleans(),
    annotations=st.sampled_from([None, OURS]),
)
A_CLAIM = st.builds(
    claim,
    st.sampled_from(["pgdata", "data"]),
    namespace=NAMESPACES,
    uid=UIDS,
    volume=st.one_of(st.just(""), NAMES),
    phase=st.sampled_from(["Pending", "Bound", "Lost"]),
    requested=SIZES,
)


def _unique(items: list[Object]) -> list[Object]:
    return list(
        {(i["metadata"].get("namespace"), i["metadata"]["name"]): i for i in items}.values()
    )


@settings(max_examples=150)
@given(
    disks=st.lists(A_DISK, max_size=3, unique_by=lambda disk: disk.name),
    volumes=st.lists(A_VOLUME, max_size=3).map(_unique),
    claims=st.lists(A_CLAIM, max_size=4).map(_unique),
)
def test_nobody_ever_gets_a_disk_by_chance(
    disks: list[Disk], volumes: list[Object], claims: list[Object]
) -> None:
    shown = mirrored(disks, volumes, claims)
    owners = {claim.reference: claim for claim in map(claim_of, claims)}
    before = {one["metadata"]["name"]: one for one in volumes}
    for name, after in shown.volumes.items():
        ref = after["spec"]["claimRef"]
        assert ref["namespace"]
        assert ref["name"]
        was = before.get(name)
        if was is None:
            assert after["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        elif _is_settled(was, owners):
            assert ref == was["spec"]["claimRef"]
    assert {disk.name for disk in disks} - _awaited(claims) <= set(shown.volumes)


def _is_settled(was: Object, owners: dict[Reference, VolumeClaim]) -> bool:
    """Whether nobody may change for whom a volume is."""
    ref = was["spec"]["claimRef"]
    owner = owners.get(Reference(ref["namespace"], ref["name"]))
    # A claim that has another volume by now is no owner.
    bound = (
        owner is not None
        and owner.reference.uid == ref.get("uid", "")
        and owner.volume in {"", was["metadata"]["name"]}
    )
    deletes = was["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    return bound or deletes or "deletionTimestamp" in was["metadata"]


def _awaited(claims: list[Object]) -> set[str]:
    """Disks whose volumes their provisioner is about to make."""
    return {f"pvc-{one['metadata']['uid']}" for one in claims if not one["spec"].get("volumeName")}


def test_what_is_right_stays_as_it_is() -> None:
    shown = mirrored([DISK], [volume()], [claim()])

    assert (shown.changed, shown.told) == ([], [])


def test_a_change_names_the_volume_that_was_looked_at_and_tells_why() -> None:
    found = volume_of(volume(phase="Released", capacity=7))
    assert found is not None

    (freed,) = MIRROR.changes([DISK], [found], [])
    (sized,) = MIRROR.changes([DISK], [replace(found, phase="Bound")], [claim_of(claim())])

    assert isinstance(freed, Correct)
    assert isinstance(sized, Correct)
    assert freed.volume.version == sized.volume.version == "42"
    assert (freed.why, sized.why) == ("free for claim default/pgdata", f"has {GIB} bytes")


def test_a_bound_volume_is_not_taken_from_a_claim_that_was_not_seen_yet() -> None:
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)

    shown = mirrored([DISK], [volume(phase="Bound")], [other])

    assert shown.reserved() == f"default/pgdata {UID}"


@pytest.mark.parametrize("phase", ["Lost", "Bound"])
def test_a_volume_that_vanished_goes_back_to_its_claim_and_to_no_other(phase: str) -> None:
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)

    shown = mirrored([DISK], [], [other, claim(phase=phase)])

    assert shown.reserved() == f"default/pgdata {UID}"


def test_a_claim_that_is_not_seen_as_lost_yet_gets_its_volume_back() -> None:
    assert mirrored([DISK], [], [claim(phase="Bound")]).reserved() == f"default/pgdata {UID}"


def test_a_lost_claim_gets_a_volume_that_was_applied_again() -> None:
    shown = mirrored([DISK], [volume(uid="", phase="Available")], [claim(phase="Lost")])

    assert shown.reserved() == f"default/pgdata {UID}"


def test_a_claim_that_is_bound_elsewhere_is_in_nobodys_way() -> None:
    left = volume(claim="data", phase="Released")
    again = claim("data", volume="pvc-new", uid=NEW_UID)
    other = claim("restored", phase="Pending", volume="pgdata", uid="uid-3")

    shown = mirrored([DISK], [left], [again, other])

    assert shown.reserved() == "default/restored"


def test_nor_when_the_volume_is_reserved_for_it() -> None:
    left = volume(claim="data", phase="Available", uid="")
    again = claim("data", volume="pvc-new", uid=NEW_UID)
    other = claim("restored", phase="Pending", volume="pgdata", uid="uid-3")

    shown = mirrored([DISK], [left], [again, other])

    assert shown.told == []
    assert shown.reserved() == "default/restored"


def test_a_lost_claim_is_no_heir_before_one_that_waits() -> None:
    lost = claim(namespace="third", phase="Lost", uid="uid-3")
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)

    shown = mirrored([DISK], [volume(phase="Released")], [lost, other])

    assert shown.reserved() == "another/pgdata"


@pytest.mark.parametrize("phase", ["Bound", "Lost"])
def test_a_volume_that_was_applied_for_another_namespace_goes_back_to_its_claim(phase: str) -> None:
    applied = volume(namespace="another", phase="Released")
    other = claim(namespace="another", phase="Pending", uid=NEW_UID)

    shown = mirrored([DISK], [applied], [claim(phase=phase), other])

    assert shown.reserved() == f"default/pgdata {UID}"
