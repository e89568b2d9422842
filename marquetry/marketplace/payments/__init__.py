"""Payments: money in through providers, refunds, disputes, invoices, and transfers to creators.

Books are functions on a connection that never commit; providers speak HTTP and know no database. Between the two stands `events.py`: what a
provider says, in our words. Every amount is checked against our own rows; nothing that a client says is believed.
"""
