"""The one table from errors to gRPC status codes (CSI spec, "Error Scheme", each RPC's table)."""

from collections.abc import Mapping

import grpc

from csi import errors

CODES: Mapping[type[errors.DiskError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Incompatible: grpc.StatusCode.ALREADY_EXISTS,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.PoolFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Busy: grpc.StatusCode.ABORTED,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.ProgramFailed: grpc.StatusCode.INTERNAL,
}
"""A subclass has its nearest ancestor's code."""


def code(error: errors.DiskError) -> grpc.StatusCode:
    """Return the gRPC status code that a call ending with `error` answers."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL
