"""Running graphs: what is needed is planned, keyed by content, taken from the cache or executed on lanes, many jobs at once."""
