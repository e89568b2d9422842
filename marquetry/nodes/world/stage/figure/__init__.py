"""People: a skeleton that is posed and turned in three dimensions, and everything that is drawn on it."""
