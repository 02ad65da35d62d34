"""Texts with which Linux starts no program: execve(2), "Limits on size of arguments".

One argument, or one KEY=VALUE of the environment, may have MAX_ARG_STRLEN bytes with its final NUL:
32 pages of 4 KiB (include/uapi/linux/binfmts.h).
"""

from deploy.hosts import Hosts, Text, findings_for, texts
from deploy.model import AppConfig
from deploy.problems import Findings

LONGEST = (1 << 17) - 1
"""Bytes."""
ELSEWHERE = "put what is large into a file of the image, or on a disk"


def check_lengths(config: AppConfig, findings: Findings, of_procfile: Findings) -> None:
    """Note commands and variables that are too long once they name services by their addresses."""
    hosts = Hosts(config)
    for text in texts(config):
        if (length := _length(text, hosts)) > LONGEST:
            counted = "with its key " if text.variable else ""
            what = f"has {counted}{length} bytes, more than the {LONGEST} that Linux can pass on"
            place, path = findings_for(text.path, findings, of_procfile)
            place.error(path, what, ELSEWHERE)


def _length(text: Text, hosts: Hosts) -> int:
    key = f"{text.variable}=" if text.variable else ""
    return len(f"{key}{hosts.resolve(text.text)}".encode())
