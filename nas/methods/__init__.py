"""How a space is searched: supernets trained by gradient, and proposals of one candidate after the other."""
