"""Jobs: submitted graphs, the queue of record, their live state, the feed of events and the workers that run them."""
