"""Settings of people: sign-up, sessions, mail, sign-in through others."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class AccountSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
