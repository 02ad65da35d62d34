"""A driver that does nothing but cut groups of snapshots: `python -m … POOL DISK...`.

It says which groups it has been promised, one number a line, until it is killed.
"""

import sys
from itertools import count

from csi.disk import NewSnapshot
from csi.opening import open_pool


def main(pool_spec: str, *disks: str) -> None:
    pool = open_pool(pool_spec, 1000.0)
    pool.recover()
    for number in count(len(pool.snapshots()) // len(disks)):
        pool.create_snapshots(
            [NewSnapshot(f"{disk} {number}", disk, f"{number}") for disk in disks]
        )
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
