"""Plans: what a subscription costs, grants and allows; who has which."""
