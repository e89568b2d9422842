"""The settings: each dresses the stage with its ground, its horizon and what usually stands there."""
