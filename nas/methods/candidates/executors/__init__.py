"""Where candidates are trained: processes on this machine, or a Ray cluster."""
