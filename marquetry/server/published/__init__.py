"""Published graphs as node types: how they are found, described, checked and put in place. Their inside reaches workers, never who runs them."""
