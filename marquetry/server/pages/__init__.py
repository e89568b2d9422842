"""The pages that the server brings itself: one that makes a picture, and the API reference."""
