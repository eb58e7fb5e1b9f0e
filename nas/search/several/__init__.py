"""One search by several processes: the first leads, the others join it where something is shared."""
