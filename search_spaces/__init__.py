"""What can be built: layers, archs, recipes and search spaces. Knows no data, no device and no search."""

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Cost, Shape
from search_spaces.space import Genotype, LayerwiseSpace, Position, SearchSpace, Variable

__all__ = ["Arch", "Cost", "Genotype", "Layer", "LayerwiseSpace", "Position", "SearchSpace", "Shape", "Variable"]
