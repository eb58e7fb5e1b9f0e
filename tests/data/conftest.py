"""The data set and the network that tests of training use."""

from tests.train.conftest import arch, data

__all__ = ["arch", "data"]
