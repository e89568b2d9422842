"""Automation: batches of one graph, schedules, and webhooks that tell others what happened."""
