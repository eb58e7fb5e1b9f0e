"""One file per block kind: its frozen data, its costs, its torch module, and what others must know of it.

A new kind is a new file here (or anywhere, if it is imported before its layers are read): a frozen dataclass under
`@register`. The files of this folder are found by themselves. `parts` holds what the torch modules share; nothing else
here imports torch before a layer is built.
"""

import importlib
import pkgutil

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
