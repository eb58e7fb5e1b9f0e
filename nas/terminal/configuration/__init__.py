"""Settings: composed from cards and overrides, checked, stored with a run and read back."""
