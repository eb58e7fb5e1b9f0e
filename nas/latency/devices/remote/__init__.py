"""A machine that is reached by the system's own ssh: its address, a conversation with it, a kit measured there."""
