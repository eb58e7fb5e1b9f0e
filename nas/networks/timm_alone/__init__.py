"""Networks that timm builds of its own blocks: the code that does so where this package is not installed."""
