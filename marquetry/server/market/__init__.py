"""The market beside the queue: graphs to quotes, events to charges. Installed by `parts.metering`."""
