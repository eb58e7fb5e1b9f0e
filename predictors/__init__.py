"""Surrogates: from a genotype to how good the network will be, with an uncertainty. One model a file."""
