"""A pool that is used from another node, over a real connection."""

from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest

from controller.pool import HostPool
from controller.pool_server import PoolServer
from controller.pool_wire import SERVICE, VERBS
from controller.remote_pool import RemotePool
from csi import key_pair
from csi.disk import GIB, MIB, Disk, NewSnapshot, Source, SourceKind
from csi.errors import InvalidRequest, NotFound, OutOfRange, PoolFull, Unavailable
from csi.http_address import Address
from csi.key_pair import KeyPair
from tests.cluster.waiting import wait_until
from tests.contract import raw


@pytest.fixture(scope="module")
def keys() -> KeyPair:
    return key_pair.make()


@pytest.fixture
def server(pool: HostPool, keys: KeyPair) -> Iterator[PoolServer]:
    server = PoolServer(pool, Address("127.0.0.1", 0), keys)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def remote(server: PoolServer, keys: KeyPair) -> Iterator[RemotePool]:
    with closing(RemotePool("node-1", f"127.0.0.1:{server.port}", keys)) as remote:
        yield remote


def test_the_life_of_a_disk(pool: HostPool, remote: RemotePool) -> None:
    wanted = Disk("pgdata", 8 * MIB, created_by="shop", lease_timeout=1.5)
    made = remote.create(wanted)
    assert made == pool.get("pgdata") == remote.get("pgdata")
    assert (made.created_by, made.lease_timeout) == ("shop", 1.5)
    raw.write(pool.attach("pgdata"), MIB, b"monday")

    (snapshot,) = remote.create_snapshots([NewSnapshot("monday", "pgdata")])
    assert remote.snapshots() == [snapshot] == [remote.get_snapshot("monday")]
    extents = list(remote.allocated(snapshot))
    assert extents == list(pool.allocated(snapshot))
    assert any(one.offset <= MIB < one.offset + one.length for one in extents)
    raw.write(pool.device("pgdata") or pool.attach("pgdata"), 4 * MIB, b"tuesday")
    (later,) = remote.create_snapshots([NewSnapshot("tuesday", "pgdata")])
    assert list(remote.changed(snapshot, later)) == list(pool.changed(snapshot, later))

    copy = remote.create(Disk("copy", 8 * MIB, source=Source(SourceKind.SNAPSHOT, "monday")))
    assert raw.read(pool.attach(copy.name), MIB, 6) == b"monday"
    assert remote.expand("copy", 16 * MIB).size == 16 * MIB
    remote.set_read_ahead("copy", 256)
    assert remote.get("copy").read_ahead_kib == 256
    assert remote.usage().provisioned == pool.usage().provisioned == 24 * MIB
    assert remote.has_lost_filesystem("pgdata"), "it has none"

    remote.delete_snapshots(["monday", "tuesday"])
    pool.detach("copy")
    remote.delete("copy")
    assert [disk.name for disk in remote.disks()] == ["pgdata"]


def test_scratch_volumes_are_known_by_their_names_alone(pool: HostPool, remote: RemotePool) -> None:
    wanted = Disk("csi-0123", 8 * MIB, scratch_for="a pod's uid")
    assert pool.create(wanted) == wanted
    raw.write(pool.attach(wanted.name), MIB, b"monday")

    assert remote.get(wanted.name) == wanted
    assert remote.disks() == []
    copy = remote.create(Disk("copy", 8 * MIB, source=Source(SourceKind.DISK, wanted.name)))
    assert remote.disks() == [copy]
    assert raw.read(pool.attach("copy"), MIB, 6) == b"monday"


def test_errors_are_those_of_the_pool(remote: RemotePool) -> None:
    with pytest.raises(NotFound, match='disk "nowhere" does not exist'):
        remote.get("nowhere")
    with pytest.raises(PoolFull, match="large"):
        remote.create(Disk("large", 1 << 50))
    remote.create(Disk("pgdata", 16 * MIB))
    with pytest.raises(OutOfRange):
        remote.create(Disk("copy", 8 * MIB, source=Source(SourceKind.DISK, "pgdata")))


def test_who_has_another_key_gets_nothing(server: PoolServer) -> None:
    address = f"127.0.0.1:{server.port}"
    with (
        closing(RemotePool("node-1", address, key_pair.make())) as stranger,
        pytest.raises(Unavailable, match='pool of node "node-1" does not answer'),
    ):
        stranger.disks()


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_who_has_no_key_gets_nothing(server: PoolServer, keys: KeyPair, verb: str) -> None:
    address = f"127.0.0.1:{server.port}"
    trusting = grpc.ssl_channel_credentials(keys.certificate)
    options = [("grpc.ssl_target_name_override", key_pair.NAME)]
    for channel in (
        grpc.insecure_channel(address),
        grpc.secure_channel(address, trusting, options=options),
    ):
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        ask = channel.unary_unary(f"/{SERVICE}/{verb}")
        with channel, pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            ask(b"[]", timeout=10)


def test_a_node_without_its_plugin(keys: KeyPair) -> None:
    with closing(RemotePool("node-1", "", keys)) as nobody:
        for ask in (nobody.disks, nobody.check, lambda: nobody.delete("pgdata")):
            with pytest.raises(Unavailable, match='node plugin of node "node-1" does not run'):
                ask()


def test_a_plugin_that_comes_back_is_found_again(
    pool: HostPool, server: PoolServer, remote: RemotePool, keys: KeyPair
) -> None:
    remote.create(Disk("pgdata", GIB))
    server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        remote.get("pgdata")

    again = PoolServer(pool, Address("127.0.0.1", server.port), keys)
    again.start()
    try:
        wait_until(lambda: answers(remote), "the connection is made anew", within=10)
        assert remote.get("pgdata").size == GIB
    finally:
        again.stop()


def answers(remote: RemotePool) -> bool:
    try:
        remote.check()
    except Unavailable:
        return False
    return True


def test_a_port_that_is_taken_is_refused_at_once(
    pool: HostPool, server: PoolServer, keys: KeyPair
) -> None:
    with pytest.raises(InvalidRequest, match=f"cannot serve the pool at 127.0.0.1:{server.port}"):
        PoolServer(pool, Address("127.0.0.1", server.port), keys)
