"""`miren-csi call`: one CSI call to a driver, from the command line.

It is how an operator's tools, which reach a driver's pod by `kubectl exec`, have something done by
the driver that runs there: by its own rules, and in turn with all other calls.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from csi.stubs import csi_pb2

COMMAND = "call"
SOCKET = "unix:///csi/csi.sock"
"""The controller's, in the manifests."""

_DESCRIPTION = """\
Make one CSI call and print the answer as JSON. A call that fails prints its code and message as
JSON too, and the exit status is 1."""
_EPILOG = """\
example:
  miren-csi call ControllerGetVolume '{"volume_id": "shop-data"}'
"""
_LONGEST = 150.0


def main(words: Sequence[str]) -> int:
    """Make the call that the words behind `call` say; return the exit status."""
    parser = _parser()
    chosen = parser.parse_args(words)
    methods = _methods()
    if chosen.method not in methods:
        parser.error(f"no call {chosen.method}; there are {', '.join(sorted(methods))}")
    method = methods[chosen.method]
    try:
        request = json_format.Parse(chosen.request, GetMessageClass(method.input_type)())
    except json_format.ParseError as error:
        parser.error(f"no {method.input_type.name}: {error}")
    with grpc.insecure_channel(chosen.endpoint.replace("unix://", "unix:")) as channel:
        call = channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        try:
            answer = call(request, timeout=chosen.timeout)
        except grpc.RpcError as error:
            _print({"code": error.code().name, "message": error.details()})
            return 1
    _print(json_format.MessageToDict(answer, preserving_proto_field_name=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"miren-csi {COMMAND}",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("method", metavar="METHOD", help="its name, such as CreateVolume")
    parser.add_argument(
        "request", metavar="REQUEST", nargs="?", default="{}", help="the request as JSON"
    )
    parser.add_argument(
        "--endpoint", metavar="unix:///PATH", default=SOCKET, help="default: %(default)s"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=_LONGEST,
        help="how long the call may take (default: %(default)g)",
    )
    return parser


def _methods() -> Mapping[str, MethodDescriptor]:
    services = csi_pb2.DESCRIPTOR.services_by_name.values()
    return {
        method.name: method
        for service in services
        for method in service.methods
        if not method.server_streaming
    }


def _print(answer: Mapping[str, object]) -> None:
    json.dump(answer, sys.stdout)
    sys.stdout.write("\n")
