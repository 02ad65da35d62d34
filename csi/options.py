"""The command line of `miren-csi`: options, their environment variables, their errors."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from csi import DEFAULT_NAMESPACE, __version__, http_address, logs
from csi.http_address import Address

Convert = Callable[[str], object]

ROLES: Mapping[str, str] = {
    "controller": "serve Identity, Controller, GroupController and SnapshotMetadata",
    "node": "serve Identity and Node",
    "all": "serve everything in one process",
}

_EPILOG = """\
Every option can be given as an environment variable instead: --node-id as MIREN_CSI_NODE_ID.

pools:
  lvm:VG/THINPOOL   disks are thin logical volumes (production; needs lvm2 and device mapper)
  loop:DIR          disks are sparse files in a folder (demos, development, one small machine)
  nodes:PORT        for a controller in a cluster: the pools that the node plugins serve at PORT

example, as root:
  miren-csi all --endpoint unix:///run/miren-csi.sock --node-id $(hostname) \\
      --pool loop:/var/lib/miren/pool --leases file:/var/lib/miren/leases.json
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says, checked for form."""

    role: str
    endpoint: str
    node_endpoint: str
    """Where the Node service listens: the same socket unless said otherwise."""
    node_id: str
    pool: str
    leases: str
    local_root: Path
    overcommit: float
    max_volumes: int
    http_endpoint: Address | None
    """Where /metrics, /healthz and /readyz are; nowhere unless said."""
    pool_endpoint: Address | None
    """Where a node's pool is served to a controller elsewhere; nowhere unless said."""
    tls: Path | None
    """The folder with tls.crt and tls.key for that."""
    namespace: str
    """The driver's own, whose pods may have scratch volumes."""
    kubelet_dir: Path | None
    """Kubelet's --root-dir, where the driver registers itself; None when it does not."""
    log_level: str
    log_format: str

    @property
    def controls(self) -> bool:
        """Whether this process is (also) a controller plugin."""
        return self.role in {"controller", "all"}

    @property
    def is_node(self) -> bool:
        """Whether this process is (also) a node plugin."""
        return self.role in {"node", "all"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with 2."""
        sys.stderr.write(f"{self.prog}: {message} (see {self.prog} --help)\n")
        raise SystemExit(2)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Parse the command line over the environment; exits with 0 for help and 2 for mistakes."""
    parser = _parser(environ)
    values = vars(parser.parse_args(argv))
    required = {"endpoint", "node_id", "pool", "leases"} & values.keys()
    if values["role"] == "controller" and (values["pool"] or "").startswith("nodes:"):
        required.remove("node_id")
    for name in sorted(required):
        if not values[name]:
            parser.error(f"--{name.replace('_', '-')} is missing")
    values.setdefault("leases", "")
    values.setdefault("namespace", "")
    for name in ("kubelet_dir", "pool_endpoint", "tls"):
        values.setdefault(name, None)
    if values["pool_endpoint"] and not values["tls"]:
        parser.error("--tls is missing, without which --pool-endpoint is open to everybody")
    values["node_endpoint"] = values.get("node_endpoint") or values["endpoint"]
    return Options(**values)


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="miren-csi",
        description="CSI driver for Miren's disks: thin LVM volumes or loop files",
        epilog="See `miren-csi all --help` for the options; `miren-csi call --help` for calls to a "
        "driver that runs.",
    )
    parser.add_argument("--version", action="version", version=f"miren-csi {__version__}")
    roles = parser.add_subparsers(dest="role", metavar="ROLE", required=True)
    for role, description in ROLES.items():
        raw = argparse.RawDescriptionHelpFormatter
        sub = roles.add_parser(
            role, help=description, description=description, epilog=_EPILOG, formatter_class=raw
        )
        _add_options(sub, role, environ)
    return parser


def _add_options(parser: argparse.ArgumentParser, role: str, environ: Mapping[str, str]) -> None:
    def add(flag: str, metavar: str, text: str, default: str = "", convert: Convert = str) -> None:
        value = environ.get("MIREN_CSI_" + flag[2:].upper().replace("-", "_")) or default
        shown = f"{text} (default: {value})" if value else text
        parser.add_argument(flag, metavar=metavar, default=value, type=convert, help=shown)

    add("--endpoint", "unix:///PATH", "the socket to serve on")
    if role == "all":
        add("--node-endpoint", "unix:///PATH", "a socket of its own for the Node service")
    add("--node-id", "NAME", "this node's name: where its pool's disks can be mounted")
    elsewhere = " or nodes:PORT" if role == "controller" else ""
    add("--pool", "POOL", f"where disks live: lvm:VG/THINPOOL or loop:DIR{elsewhere}")
    if role != "node":
        add("--leases", "STORE", "who holds disks: file:PATH, or kubernetes")
    local = "the folder of local disks"
    add("--local-root", "DIR", local, "/var/lib/miren/local", _absolute)
    promise = "how many times its size the pool may promise to disks"
    add("--overcommit", "RATIO", promise, "2.0", _ratio)
    most = "how many disks may be attached at once; 0 is no limit"
    add("--max-volumes", "N", most, "0", _count)
    pages = "where /metrics, /healthz and /readyz are served, such as :9808"
    add("--http-endpoint", "[ADDRESS]:PORT", pages, "", _or_none(_http_address))
    if role != "controller":
        register = "kubelet's --root-dir, to register with it: usually /var/lib/kubelet"
        add("--kubelet-dir", "DIR", register, "", _or_none(_absolute))
        own = "the driver's own namespace: only its pods get inline volumes"
        add("--namespace", "NAME", own, DEFAULT_NAMESPACE)
    if role == "node":
        served = "where this node's pool is served to a controller elsewhere, such as :9809"
        add("--pool-endpoint", "[ADDRESS]:PORT", served, "", _or_none(_http_address))
        folder = "the folder of tls.crt and tls.key, which that controller has too"
        add("--tls", "DIR", folder, "", _or_none(_absolute))
    levels = ", ".join(logs.LEVELS)
    add("--log-level", "LEVEL", levels, "info", _one_of(logs.LEVELS))
    formats = ", ".join(logs.FORMATS)
    add("--log-format", "FORMAT", formats, "text", _one_of(logs.FORMATS))


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1000, not {text}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"must be an absolute path, not {text!r}")
    return Path(text)


def _http_address(text: str) -> Address:
    try:
        return http_address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _or_none(convert: Convert) -> Convert:
    return lambda text: convert(text) if text else None


def _one_of(choices: Sequence[str]) -> Convert:
    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"must be {' or '.join(choices)}, not {text!r}")
        return text

    return convert
