"""Metering: what runs were promised to cost at most, what each finished node really cost, and who earned by it."""
