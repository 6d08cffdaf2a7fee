"""Make CSV files of readings whose values are those of the committed extract, with dirt in them.

Sixteen devices write a reading each five seconds into one file a day, as a gateway does. Each
device walks through the real values of a dust and a climate sensor, to and fro by a few readings.
Four of a hundred rows are dirt: repeated, faulty, or of a clock that was not set; some come late.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

EXTRACT: Final = Path(__file__).parents[1] / "data" / "air-quality"
FIRST_DAY: Final = date(2019, 3, 4)
DEVICES: Final = 16
PERIOD: Final = 5
"""Seconds between two readings of a device."""
HEADER: Final = "timestamp;sensor_id;P1;P2;temperature;humidity\n"
_DAY: Final = 86_400
_JITTER: Final = 8
_LATE: Final = 360
"""Ticks of five seconds by which a reading comes late."""


@dataclass(frozen=True)
class Device:
    """A device and the real values that it walks through, as the archive writes them."""

    name: str
    dust: Sequence[str]
    climate: Sequence[str]


def devices() -> list[Device]:
    """Return the devices: each pair of a dust and a climate sensor of the extract in turn."""
    dust = [_series("sds011", number, 6, 9) for number in (5331, 7789, 8554, 15092)]
    climate = [_series("dht22", number, 6, 7) for number in (5332, 7790, 8555)]
    climate.append(_series("bme280", 15093, -1, -2))
    pairs = [(one, other) for one in dust for other in climate][:DEVICES]
    return [
        Device(f"aq{number:03}-{15_000 + 37 * number}", *pair) for number, pair in enumerate(pairs)
    ]


def _series(kind: str, sensor: int, first: int, second: int) -> list[str]:
    values = []
    for path in sorted(EXTRACT.glob(f"*/*_{kind}_sensor_{sensor}.csv")):
        header, *lines = path.read_text().splitlines()
        columns = header.split(";")
        if kind == "bme280":
            first, second = columns.index("temperature"), columns.index("humidity")
        cells = (line.split(";") for line in lines)
        values += [f"{row[first]};{row[second]}" for row in cells]
    return values


Fault = Callable[[random.Random, str, str, str, str], str]


def _value(cells: Sequence[str]) -> Fault:
    """Return a fault that puts one of some cells in the place of a value."""

    def fault(chance: random.Random, stamp: str, device: str, dust: str, climate: str) -> str:
        values = f"{dust};{climate}".split(";")
        values[chance.randrange(4)] = chance.choice(cells)
        return f"{stamp};{device};{';'.join(values)}\n"

    return fault


def _stamp(cells: Sequence[str]) -> Fault:
    """Return a fault that puts one of some cells in the place of the time."""

    def fault(chance: random.Random, stamp: str, device: str, dust: str, climate: str) -> str:
        return f"{chance.choice(cells)};{device};{dust};{climate}\n"

    return fault


def _nameless(chance: random.Random, stamp: str, device: str, dust: str, climate: str) -> str:
    return f"{stamp};;{dust};{climate}\n"


def _twice(chance: random.Random, stamp: str, device: str, dust: str, climate: str) -> str:
    return f"{stamp};{device};-1.00;err;{climate}\n"


_FAULTS: Final[tuple[tuple[float, Fault], ...]] = (
    (0.006, _value(("err", "n/a", "1.2.3", "12,5", "--"))),
    (0.006, _value(("-55.50", "1999.90", "6553.5"))),
    (0.003, _stamp(("not a time", "2019-03-04T25:00:00Z", "2019-13-04T00:00:00Z"))),
    (0.002, _stamp(("",))),
    (0.003, _stamp(("1970-01-01T00:00:12Z", "2000-01-01T00:01:00Z"))),
    (0.002, _nameless),
    (0.001, _twice),
)
_REPEATED: Final = 0.017
"""The share of rows that come again, half of them with other values."""
_DELAYED: Final = 0.005
_EMPTY: Final = 0.01
"""The share of rows without the first value, which is no fault."""


@dataclass
class Readings:
    """The stream of lines, tick by tick."""

    seed: int = 1
    _held: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._devices = devices()

    def lines(self, first: int, ticks: int) -> Iterator[list[str]]:
        """Yield the lines of each tick of five seconds, counted from the first day."""
        chance = self._chance
        for tick in range(first, first + ticks):
            lines = self._held.pop(tick, [])
            second = tick * PERIOD
            day = (FIRST_DAY + timedelta(days=second // _DAY)).isoformat()
            base = second % _DAY
            for number, device in enumerate(self._devices):
                at = base + (number + tick) % PERIOD
                stamp = f"{day}T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z"
                place = tick // 30 + int(chance.random() * _JITTER) + 700 * number
                dust = device.dust[place % len(device.dust)]
                climate = device.climate[place % len(device.climate)]
                line = f"{stamp};{device.name};{dust};{climate}\n"
                if chance.random() < 0.06:
                    line = self._dirty(line, tick, stamp, device.name, dust, climate)
                lines.append(line)
            yield lines

    def _dirty(self, line: str, tick: int, *cells: str) -> str:
        """Return what stands in the place of a line: for six of a hundred it is decided here."""
        chance = self._chance
        draw = chance.random() * 0.06
        for share, fault in _FAULTS:
            if draw < share:
                return fault(chance, *cells)
            draw -= share
        if draw < _REPEATED:
            again = (
                line if chance.random() < 0.5 else ";".join((*cells[:2], "7.77;7.77;7.7;77.7\n"))
            )
            self._held.setdefault(tick + chance.randrange(1, 60), []).append(again)
            return line
        if draw < _REPEATED + _DELAYED:
            self._held.setdefault(tick + chance.randrange(1, _LATE), []).append(line)
            return ""
        if draw < _REPEATED + _DELAYED + _EMPTY:
            stamp, name, dust, climate = cells
            return f"{stamp};{name};;{dust.split(';')[1]};{climate}\n"
        return line


_BYTES_PER_TICK: Final = 16 * 1.017 * 55.0


def write(folder: Path, megabytes: float, seed: int = 1) -> None:
    """Write about so many million bytes: a file for each day, the last one maybe shorter."""
    folder.mkdir(parents=True)
    readings = Readings(seed)
    left = round(megabytes * 1e6 / _BYTES_PER_TICK)
    first = 0
    while left:
        ticks = min(left, _DAY // PERIOD)
        day = FIRST_DAY + timedelta(days=first * PERIOD // _DAY)
        with (folder / f"{day}.csv").open("w") as file:
            file.write(HEADER)
            for lines in readings.lines(first, ticks):
                file.writelines(lines)
        first, left = first + ticks, left - ticks


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("megabytes", type=float)
    chosen = options.parse_args()
    write(chosen.folder, chosen.megabytes)
