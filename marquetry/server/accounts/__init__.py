"""Accounts in the server: signing in and out, letting requests in, and mails. Loaded where accounts are switched on."""
