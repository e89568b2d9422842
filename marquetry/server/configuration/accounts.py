"""Settings of people: sign-up, sessions, mail, sign-in through others."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AccountSettings(BaseModel):
    """See the module. Without accounts there is one user who may do everything, and only this machine can reach the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=False, description="whether callers need an account")
