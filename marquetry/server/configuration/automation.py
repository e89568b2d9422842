"""Settings of batches, schedules, webhooks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from marquetry.server.jobs.watchdog import StuckLimits

HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
SLOW_KINDS = ("CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "DualCLIPLoader", "VAELoader", "LoraLoader", "VAEDecode", "VAEEncode")


class AutomationSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = Field(
        default=(),
        description="hosts inside the operator's network that files may be fetched from and webhooks sent to: names, addresses or networks, "
        "each with a port or without",
    )

    off_peak: tuple[str, ...] = Field(
        default=(), description="hours of little load, as 22:00-06:00, in which schedules that ask for them run"
    )
    off_peak_timezone: str = Field(default="UTC", description="time zone of those hours")
    stuck_s: float = Field(
        default=120.0,
        gt=0,
        description="how long a node may tell nothing before its try is ended and made again, where people share the server",
    )
    stuck_alone_s: float = Field(default=1800.0, gt=0, description="the same, on a server that one person has to themselves")
    stuck_silence_s: dict[str, float] = Field(
        default=dict.fromkeys(SLOW_KINDS, 600.0), description="more of it by node type, for those that are silent although all is well"
    )
    longest_node_s: dict[str, float] = Field(
        default={"*": 86400.0}, description="how long a node may run whatever it tells, by node type; * is for all others"
    )
    starvation_s: float = Field(
        default=600.0, gt=0, description="after how long somebody who waits behind higher classes of the queue gets one job through"
    )

    def stuck_limits(self) -> StuckLimits:
        """What the queue is told of them."""
        from marquetry.server.jobs.watchdog import StuckLimits

        return StuckLimits(self.stuck_s, self.stuck_alone_s, self.stuck_silence_s, self.longest_node_s)

    @field_validator("off_peak")
    @classmethod
    def _are_hours(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if not HOURS.fullmatch(entry):
                raise ValueError(f"'{entry}' are no hours; write them as 22:00-06:00")
        return entries

    @field_validator("off_peak_timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"'{name}' is not a time zone") from error
        return name

    @field_validator("private_hosts")
    @classmethod
    def _can_be_read(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        from marquetry.server.http.addresses import PrivateHosts

        PrivateHosts.read(entries)
        return entries
