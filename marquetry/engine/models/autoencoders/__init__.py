"""Kinds of autoencoders, each with one face: see `kinds`."""
