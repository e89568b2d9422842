"""Models: which weights exist, how they become networks, where those are now, and the objects that travel as MODEL, CLIP and VAE."""
