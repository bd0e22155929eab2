"""Energy of the processor, where it tells: Intel's and AMD's RAPL counters."""

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules that the processor packages have used; they often only tell it to root."""

    def __init__(self, root: Path = _POWERCAP) -> None:
        found = sorted(root.glob("*-rapl:[0-9]*"))
        packages = [zone for zone in found if zone.name.count(":") == 1]
        self._zones = [zone for zone in packages if _read(zone / "energy_uj") is not None]

    def joules(self) -> list[float] | None:
        """Return a reading of every counter; None where none can be read."""
        readings = [_read(zone / "energy_uj") for zone in self._zones]
        if not readings or None in readings:
            return None
        return [reading / 1e6 for reading in readings if reading is not None]

    def since(self, before: list[float] | None) -> float | None:
        """Return the joules used since the reading BEFORE; counters that ran over are mended."""
        now = self.joules()
        if before is None or now is None:
            return None
        used = 0.0
        for zone, start, end in zip(self._zones, before, now, strict=True):
            wrap = (_read(zone / "max_energy_range_uj") or 0) / 1e6
            used += end - start if end >= start else end - start + wrap
        return used


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
