"""What a Pi's kernel says of the machine: clock, memory, control groups, heat.

Read from within a container, where most of /proc and /sys is the machine's own. What the kernel
does not say is None: other machines have no such file.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

# adjtimex(2): the call's own answer that says "not synchronised".
_TIME_ERROR: Final = 5
# Bits of get_throttled (Raspberry Pi documentation, "vcgencmd").
_THROTTLED: Final = {
    0: "under-voltage now",
    1: "its frequency is capped now",
    2: "throttled now",
    3: "the soft temperature limit holds now",
    16: "there was under-voltage since the boot",
    17: "its frequency was capped since the boot",
    18: "it was throttled since the boot",
    19: "the soft temperature limit held since the boot",
}


def synchronised() -> bool | None:
    """Say whether the kernel's clock follows a time server (adjtimex(2); needs no privilege)."""
    # struct timex: `modes` is 0, so that nothing is set; the rest is the kernel's to fill.
    timex = ctypes.create_string_buffer(256)
    answer: int = ctypes.CDLL(None).adjtimex(timex)
    return None if answer == -1 else answer != _TIME_ERROR


def memory() -> tuple[int, int]:
    """Return the machine's memory, and what of it can be had now, in bytes."""
    found = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(found[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return total * 1024, available * 1024


def memory_cgroup(root: Path = Path("/sys/fs/cgroup")) -> bool | None:
    """Say whether memory limits hold: a Pi's own command line switches them off."""
    with suppress(OSError):  # version 2: one tree
        return "memory" in (root / "cgroup.controllers").read_text().split()
    return (root / "memory").is_dir() if root.is_dir() else None


def celsius(thermal: Path = Path("/sys/class/thermal")) -> float | None:
    """Return the temperature of the hottest sensor in degrees Celsius."""
    return max(_temperatures(thermal), default=None)


def _temperatures(thermal: Path) -> Iterator[float]:
    for zone in thermal.glob("thermal_zone*/temp"):
        with suppress(OSError, ValueError):
            yield int(zone.read_text()) / 1000


def throttled(sys: Path = Path("/sys")) -> tuple[str, ...]:
    """Return what slows the Pi down: its firmware's word, or the kernel's alarm."""
    for place in sys.glob("devices/platform/soc/*firmware/get_throttled"):
        with suppress(OSError, ValueError):
            bits = int(place.read_text(), 16)
            return tuple(said for bit, said in _THROTTLED.items() if bits >> bit & 1)
    for alarm in sys.glob("class/hwmon/hwmon*/in0_lcrit_alarm"):
        with suppress(OSError):
            if alarm.read_text().strip() == "1":
                return (_THROTTLED[0],)
    return ()


def kernel() -> tuple[str, str]:
    """Return the machine's architecture and its kernel's version."""
    said = platform.uname()
    return said.machine, said.release
