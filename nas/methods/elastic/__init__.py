"""Elastic supernets: one network of the largest layers of a space, of which every arch is a view on slices."""
