"""Listings: published graphs, weights, packs, data, styles and services, with their versions, buyers, reviews and earnings.

Functions take a connection and never commit.
"""
