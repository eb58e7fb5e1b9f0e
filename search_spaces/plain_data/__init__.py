"""Plain data from files and cards: its types, the dataclasses read from it, JSON text, and identities."""
