"""Alerts: what the rules find not usual is told in the log, and to whom the operator names."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from marquetry.marketplace.accounts.security_events import SecurityEvent
from marquetry.server.accounts.post import Post

logger = logging.getLogger("marquetry.security")


def tell(post: Post, alert_email: str, finding: SecurityEvent) -> None:
    """One line in the log, one mail."""
    what = str(finding.details.get("rule", finding.kind))
    logger.warning("suspicious activity: %s", what, extra={"owner": finding.owner, "remote": finding.address})
    time = datetime.fromtimestamp(finding.time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    whom = finding.owner or "nobody who is known"
    post.send("security_alert", alert_email, what=what, whom=whom, address=finding.address or "nowhere that is known", time=time)
