"""What a search will take, phase by phase, told before it begins."""
