"""The address of the HTTP server, as the command line has it: `[ADDRESS]:PORT`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    """A name or an address; empty for all of this machine's, IPv6 and IPv4."""
    port: int
    """0 lets the kernel choose one."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address:
    """Return the address in `[ADDRESS]:PORT`; an IPv6 one is in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdecimal() or (":" in host and not bracketed):
        raise ValueError(f"must be ADDRESS:PORT or :PORT, not {text!r}")
    if int(port) > 65535:
        raise ValueError(f"a port is at most 65535, not {port}")
    return Address(host[1:-1] if bracketed else host, int(port))
