"""Processes that measure: what they are asked, what they answer, and how those of this machine are started."""
