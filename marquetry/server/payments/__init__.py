"""Payments at work: providers asked, webhooks taken, what is late looked after."""
