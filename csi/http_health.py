"""What kubelet's probes ask: /healthz, whether the driver serves; /readyz, whether it can work."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import grpc

from csi.http_recent import Recent
from csi.http_server import Page
from csi.stubs import csi_pb2, csi_pb2_grpc

DEADLINE = 2.0
"""Seconds that a probe waits for an answer; probes should have a timeoutSeconds above it."""

_PROBE_DEADLINE = 300.0
"""Longer than LVM's own: a Probe that waits for LVM is waited for rather than called again."""
_PROBE_AGE = 1.0

Check = Callable[[], str]
"""Returns what is wrong, or nothing."""

# A connection of its own for each question: an old one outlives the socket's file.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def serving(address: str) -> Check:
    """Return the check that a CSI socket answers; it does however LVM is."""
    request = csi_pb2.GetPluginInfoRequest()
    return lambda: _call(
        address,
        lambda channel: _answered(
            csi_pb2_grpc.IdentityStub(channel).GetPluginInfo(request, timeout=DEADLINE)
        ),
    )


def registering(address: str) -> Check:
    """Return the check that kubelet finds the driver at its registration socket."""
    from csi.stubs import pluginregistration_pb2, pluginregistration_pb2_grpc

    request = pluginregistration_pb2.InfoRequest()
    stub = pluginregistration_pb2_grpc.RegistrationStub
    return lambda: _call(
        address, lambda channel: _answered(stub(channel).GetInfo(request, timeout=DEADLINE))
    )


def able(address: str) -> Check:
    """Return the check that Identity.Probe on a CSI socket says ready."""
    request, stub = csi_pb2.ProbeRequest(), csi_pb2_grpc.IdentityStub

    def is_waiting(channel: grpc.Channel) -> bool:
        answer = stub(channel).Probe(request, timeout=_PROBE_DEADLINE)
        return answer.HasField("ready") and not answer.ready.value

    def probe() -> str:
        return _call(address, lambda channel: "not ready yet" if is_waiting(channel) else "")

    recent = Recent(probe, age=_PROBE_AGE, patience=DEADLINE)

    def check() -> str:
        try:
            return recent.get()
        except TimeoutError as error:
            return f"{address}: Probe gave {error}"

    return check


def page(checks: Sequence[Check]) -> Page:
    """Return what a probe gets: 200 and ok, or 503 and all that is wrong, one line each."""
    wrong = [sentence for check in checks if (sentence := check())]
    if not wrong:
        return Page("ok")
    return Page("".join(f"{line}\n" for line in wrong), HTTPStatus.SERVICE_UNAVAILABLE)


def _answered(_: object) -> str:
    """Find nothing wrong: that there is an answer says all."""
    return ""


def _call(address: str, call: Callable[[grpc.Channel], str]) -> str:
    """Make a call on a socket that tells what is wrong; returns that, or why it failed."""
    with grpc.insecure_channel(address, _OWN_CONNECTION) as channel:
        try:
            wrong = call(channel)
        except grpc.RpcError as error:
            wrong = f"{error.code().name}: {error.details()}"
    return f"{address}: {wrong}" if wrong else ""
