"""Modifiers: factors on prices that a plan may turn on. Each is a line of the quote. Factors are in parts of ten thousand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from marquetry.marketplace.pricing.errors import InvalidBook

FILE = Path(__file__).parent / "modifiers.yaml"
ONE = 10_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor and why it holds."""

    name: str
    reason: str
    parts: int

    def applied(self, amount_microcredits: int) -> int:
        """Rounded up, so that more never becomes less."""
        return -(-amount_microcredits * self.parts // ONE)


@dataclass(frozen=True, slots=True)
class Peak:
    """The hours of a day that are dearer, by the clock of a place."""

    parts: int
    from_hour: int
    until_hour: int
    utc_offset_minutes: int

    def holds(self, now_ms: int) -> bool:
        hour = (now_ms + self.utc_offset_minutes * 60_000) // HOUR_MS % 24
        if self.from_hour <= self.until_hour:
            return self.from_hour <= hour < self.until_hour
        return hour >= self.from_hour or hour < self.until_hour


@dataclass(frozen=True, slots=True)
class Modifiers:
    """What each modifier does. `bands` are (more than so many pictures, factor); `stacks`: all that are reached are multiplied."""

    quality: Mapping[str, int]
    bands: tuple[tuple[int, int], ...]
    stacks: bool
    tier: Mapping[str, int]
    peak: Peak

    def factors(self, enabled: Collection[str], *, quality: str, pictures: int, role: str, now_ms: int) -> tuple[Factor, ...]:
        """The factors that hold for a request."""
        found: list[Factor] = []
        if "quality" in enabled and quality in self.quality:
            found.append(Factor("quality", f"quality {quality}", self.quality[quality]))
        if "batch" in enabled:
            found += self._batch(pictures)
        if "tier" in enabled and role in self.tier:
            found.append(Factor("tier", f"plan of the tier {role}", self.tier[role]))
        if "peak" in enabled and self.peak.holds(now_ms):
            found.append(Factor("peak", f"from {self.peak.from_hour} to {self.peak.until_hour} o'clock", self.peak.parts))
        return tuple(found)

    def _batch(self, pictures: int) -> list[Factor]:
        reached = [Factor("batch", f"more than {over} pictures", parts) for over, parts in self.bands if pictures > over]
        return reached if self.stacks else reached[-1:]


@cache
def shipped_modifiers() -> Modifiers:
    """The modifiers that ship."""
    return read_modifiers(FILE)


def read_modifiers(path: Path) -> Modifiers:
    """Modifiers from a file. Raises InvalidBook."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        peak = data["peak"]
        return Modifiers(
            quality={str(name): int(parts) for name, parts in data["quality"].items()},
            bands=tuple(sorted((int(band["over"]), int(band["factor"])) for band in data["batch"]["bands"])),
            stacks=data["batch"].get("stack") is True,
            tier={str(name): int(parts) for name, parts in data["tier"].items()},
            peak=Peak(int(peak["factor"]), int(peak["from_hour"]), int(peak["until_hour"]), int(peak["utc_offset_minutes"])),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InvalidBook(f"the modifiers in {path.name} can't be read: {error}") from error
