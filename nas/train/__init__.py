"""Training one network: the loop, its optimizer and accelerator; the command is `python -m nas.train`."""
