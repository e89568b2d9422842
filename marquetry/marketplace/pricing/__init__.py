"""Prices: usage in, money out. Quote and charge are one function of usage, plan, price book, date and royalties."""
