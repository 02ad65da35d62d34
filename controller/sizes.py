"""Which size a disk gets: the range that is asked for, against what a pool and a filesystem need.

All sizes are bytes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from csi.disk import GIB
from csi.errors import InvalidRequest, OutOfRange

if TYPE_CHECKING:
    from csi.stubs import csi_pb2

DEFAULT_SIZE = GIB
"""What a disk gets when nobody says how big it should be."""

_QUANTITY = re.compile(r"(\d+)(?:\.(\d+))?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|)")
_FACTORS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


@dataclass(frozen=True, slots=True)
class SizeRange:
    """A CapacityRange of the spec: 0 in a bound means that there is none."""

    required: int = 0
    limit: int = 0

    @classmethod
    def of(cls, message: "csi_pb2.CapacityRange") -> "SizeRange":
        """Check a CapacityRange; raises InvalidRequest when no size can be in it."""
        if 0 < message.limit_bytes < message.required_bytes:
            raise InvalidRequest(
                f"capacity_range contradicts itself: required_bytes {message.required_bytes} "
                f"is more than limit_bytes {message.limit_bytes}"
            )
        return cls(message.required_bytes, message.limit_bytes)

    def admits(self, size: int) -> bool:
        """Whether a size is within the range."""
        return self.required <= size and (not self.limit or size <= self.limit)

    def __str__(self) -> str:
        """Return the range as part of a sentence."""
        least = f"at least {self.required}" if self.required else ""
        most = f"at most {self.limit}" if self.limit else ""
        return " and ".join(bound for bound in (least, most) if bound) + " bytes"


class Granularity:
    """What pools round sizes up to; it never changes, so they are asked once."""

    def __init__(self, ask: Callable[[], int]) -> None:
        """Args: ask: tells it, when it is first needed."""
        self._ask = ask
        self._known = 0

    def __call__(self) -> int:
        """Return it; raises Unavailable when the pool does not answer."""
        if not self._known:
            self._known = self._ask()
        return self._known


def choose(
    wanted: SizeRange, *, minimum: int, default: int, granularity: Callable[[], int], why: str
) -> int:
    """Return the size that a new disk should ask its pool for.

    Args:
        wanted: what the request says.
        minimum: the smallest that makes sense, for the reason `why`.
        default: the size when the request requires none.
        granularity: tells what the pool rounds up to; asked only when there is a limit.
        why: for the message, as in "an xfs filesystem needs".

    Raises:
        OutOfRange: nothing between the minimum and the limit is a size that the pool makes.
    """
    least = max(wanted.required, minimum)
    if not wanted.limit:
        return least if wanted.required else max(least, default)
    step = granularity()
    least, most = round_up(least, step), wanted.limit - wanted.limit % step
    if least > most:
        raise OutOfRange(
            f"limit_bytes {wanted.limit} is too small: {why} at least {minimum} bytes, "
            f"and sizes are multiples of {step} bytes, so it would have {least}"
        )
    return least if wanted.required else max(least, min(default, most))


def round_up(size: int, step: int) -> int:
    """Return the next multiple of `step`, and one step for nothing at all."""
    return max(1, -(-size // step)) * step


def parse_quantity(text: str) -> int:
    """Return the bytes of a Kubernetes quantity such as "20Gi", "1.5G" or "1073741824".

    Raises:
        InvalidRequest: it is no quantity, or not above zero; the sentence says what to write.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= 100 and text.isascii() else None
    if found is None:
        raise InvalidRequest(f'size "{text}" is no size: write a number and a unit, such as "20Gi"')
    whole, fraction, unit = found[1], found[2] or "", found[3]
    size: int = -(-int(whole + fraction) * _FACTORS[unit] // 10 ** len(fraction))
    if size == 0:
        raise InvalidRequest(f'size "{text}" is zero: write a size above zero, such as "20Gi"')
    return size
