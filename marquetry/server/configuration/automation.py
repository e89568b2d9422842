"""Settings of batches, schedules, webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from marquetry.server.jobs.watchdog import StuckLimits

SLOW_KINDS = ("CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "DualCLIPLoader", "VAELoader", "LoraLoader", "VAEDecode", "VAEEncode")


class AutomationSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = Field(
        default=(),
        description="hosts inside the operator's network that files may be fetched from and webhooks sent to: names, addresses or networks, "
        "each with a port or without",
    )

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

    @field_validator("private_hosts")
    @classmethod
    def _can_be_read(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        from marquetry.server.http.addresses import PrivateHosts

        PrivateHosts.read(entries)
        return entries
