"""Images in files: which there are, how they are decoded, what they are recognised by."""
