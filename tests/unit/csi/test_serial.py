"""One change at a time to a disk; others in parallel; clones share their source."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from csi import serial
from csi.errors import Busy
from csi.serial import Claim, Turnstile
from csi.stubs import csi_pb2

A = Claim("disk", "a")
B = Claim("disk", "b")
A_SHARED = Claim("disk", "a", shared=True)


def test_second_change_of_the_same_disk_is_refused_and_named() -> None:
    turnstile = Turnstile()
    with (
        turnstile.pass_through([A]),
        pytest.raises(Busy, match='another call for disk "a" is under way'),
        turnstile.pass_through([A]),
    ):
        pass


def test_other_disks_pass() -> None:
    turnstile = Turnstile()
    with turnstile.pass_through([A]), turnstile.pass_through([B]):
        pass


def test_clones_of_one_source_run_together_but_keep_its_deletion_away() -> None:
    turnstile = Turnstile()
    with (
        turnstile.pass_through([A_SHARED]),
        turnstile.pass_through([A_SHARED, B]),
        pytest.raises(Busy),
        turnstile.pass_through([A]),
    ):
        pass
    with turnstile.pass_through([A]), pytest.raises(Busy), turnstile.pass_through([A_SHARED]):
        pass


def test_a_refused_call_holds_nothing() -> None:
    turnstile = Turnstile()
    with turnstile.pass_through([A]):
        with pytest.raises(Busy), turnstile.pass_through([B, A]):
            pass
        with turnstile.pass_through([B]):
            pass


def test_a_failed_call_lets_go() -> None:
    turnstile = Turnstile()
    with pytest.raises(ZeroDivisionError), turnstile.pass_through([A, A_SHARED]):
        raise ZeroDivisionError
    with turnstile.pass_through([A]):
        pass


def test_create_from_a_volume_claims_both() -> None:
    source = csi_pb2.VolumeContentSource.VolumeSource(volume_id="a")
    request = csi_pb2.CreateVolumeRequest(
        name="b", volume_content_source=csi_pb2.VolumeContentSource(volume=source)
    )
    assert serial.claims(request) == [B, A_SHARED]


@pytest.mark.parametrize("name", sorted(serial.CLAIMS))
def test_claims_are_readable_from_an_empty_request(name: str) -> None:
    request = getattr(csi_pb2, name)()
    assert all(isinstance(claim, Claim) for claim in serial.claims(request))


def test_looking_claims_nothing() -> None:
    assert serial.claims(csi_pb2.ListVolumesRequest()) == []


def test_a_patient_call_waits_until_the_other_has_ended() -> None:
    turnstile = Turnstile()

    def call() -> None:
        with turnstile.pass_through([A], patience=60):
            pass

    with ThreadPoolExecutor(1) as caller:
        with turnstile.pass_through([A]):
            waiting = caller.submit(call)
            assert not wait([waiting], timeout=0.2).done
        waiting.result()
