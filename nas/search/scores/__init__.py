"""Tables of scores, searched by the methods that search spaces of networks."""
