"""The market: people, credits, prices, listings, payments and payouts; exact to the micro-credit."""
