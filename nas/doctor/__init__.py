"""What of the framework is usable on this machine, and what to install or change for the rest."""
