"""Prices of archs as arrays: costs that add up, budgets on them, and the genotypes that meet these."""
