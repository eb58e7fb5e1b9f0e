"""Hand-made networks beside a search: chosen at the same budget, priced, measured, trained alike, compared."""
