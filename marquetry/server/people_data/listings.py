"""The market: what somebody offered is withdrawn and loses its author's words; who bought it keeps it. Sales stay, as money does."""

from __future__ import annotations

from marquetry.server.people_data.owned import Below, Owned, OwnedRows

GONE = "the creator has left"
ROOM = OwnedRows(
    "listings",
    Owned("creators", way="blank", blank={"name": GONE, "about": ""}),
    Owned("listings", way="blank", blank={"state": "withdrawn", "state_reason": GONE}),
    Owned("listing_entitlements"),
    Owned("listing_sales", "buyer", way="keep"),
    Owned("listing_users"),
    Owned("listing_reviews", way="blank", blank={"author": "", "text": ""}),
    Owned("listing_favourites"),
    Owned("creator_follows"),
    Owned("listing_collections"),
    Owned("listing_reports", way="blank", blank={"text": ""}),
    Owned("listing_coupons"),
    Owned("creator_payouts", way="keep"),
    below=(
        Below("listing_versions", "listing_id", "listings"),
        Below("listing_collection_items", "collection_id", "listing_collections"),
    ),
)
