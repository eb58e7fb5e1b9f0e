"""Elastic supernets: one network of a space's largest layers, of which every arch is a view on slices of the weights."""
