"""Names looked up in a pod, as programs there do it."""

import re

from tests.cluster.apps import Apps
from tests.cluster.waiting import wait_until

_SOON = 30.0


def addresses(apps: Apps, pod: str, name: str) -> set[str]:
    """What glibc makes of a name, with /etc/hosts and the DNS; nothing where it finds none."""
    lines = apps.run(pod, f"getent ahosts {name} || [ $? = 2 ]").splitlines()
    return {line.split()[0] for line in lines}


def addresses_in_dns(apps: Apps, pod: str, name: str) -> set[str]:
    """What busybox's own resolver gets for a name, which asks the DNS alone."""
    said = apps.run(pod, f"nslookup {name} 2>&1 || true")
    return set(re.findall(r"(?m)^Address(?: \d+)?: ([\d.]+)$", said.partition("\nName:")[2]))


def wait_found(apps: Apps, pod: str, name: str, wanted: set[str]) -> None:
    """Wait until both find just these addresses: the DNS hears of a change a little later."""

    def are_found() -> bool:
        return addresses(apps, pod, name) == addresses_in_dns(apps, pod, name) == wanted

    wait_until(are_found, f"{pod} finds {name} at {', '.join(wanted)}", within=_SOON)
