"""The built-in world: simple scenes that are drawn, put into words, learnt by the built-in model, and recognised again."""

HOLDS_NODES = False
