"""The ledger in the server: captures of many callers in one commit, reservations and adjustments over HTTP, expiry and nightly checks."""
