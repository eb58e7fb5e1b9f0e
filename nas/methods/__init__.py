"""How a space is searched: supernets trained by gradient, and proposals of one candidate after the other.

The loops that train supernets are in `loops`, the one that trains candidates in `candidates`.
"""
