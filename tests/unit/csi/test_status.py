"""Errors become the gRPC codes that the CSI spec's tables ask for."""

import inspect

import grpc
import pytest

from csi import errors, status

SPEC = [
    # CSI v1.13, error tables of CreateVolume, ControllerPublishVolume, NodePublishVolume …
    (errors.InvalidRequest("x"), grpc.StatusCode.INVALID_ARGUMENT),
    (errors.disk_not_found("pgdata"), grpc.StatusCode.NOT_FOUND),
    (errors.Incompatible("x"), grpc.StatusCode.ALREADY_EXISTS),
    (errors.OutOfRange("x"), grpc.StatusCode.OUT_OF_RANGE),
    (errors.PoolFull("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DiskInUse("x"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ForeignData("x"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.MissingProgram("mkfs.xfs", "xfsprogs"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.LeaseExpired("x"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Busy("x"), grpc.StatusCode.ABORTED),
    (errors.LeaseHeld("x"), grpc.StatusCode.ABORTED),
    (errors.BadToken("x"), grpc.StatusCode.ABORTED),
    (errors.Unsupported("x"), grpc.StatusCode.UNIMPLEMENTED),
    (errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE),
    (errors.Forbidden("x"), grpc.StatusCode.UNAVAILABLE),
    (errors.ProgramFailed(["lvs"], 5, "boom"), grpc.StatusCode.INTERNAL),
    (errors.DiskError("x"), grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("error", "code"), SPEC, ids=lambda value: type(value).__name__)
def test_code_of_error(error: errors.DiskError, code: grpc.StatusCode) -> None:
    assert status.code(error) is code


def test_every_error_is_in_the_spec_table() -> None:
    classes = {
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, errors.DiskError)
    }
    tested = {base for error, _ in SPEC for base in type(error).__mro__}
    assert classes <= tested


def test_missing_program_names_the_package() -> None:
    sentence = str(errors.MissingProgram("mkfs.xfs", "xfsprogs"))
    assert "mkfs.xfs is not installed" in sentence
    assert "apt-get install xfsprogs" in sentence


def test_program_failed_says_what_happened() -> None:
    failed = errors.ProgramFailed(["mkfs.ext4", "/dev/x"], -9, "")
    assert str(failed) == "mkfs.ext4 /dev/x was killed by signal 9: it printed nothing"
