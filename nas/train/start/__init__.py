"""What a training begins with besides random weights."""
