"""What a trained network answers to the test images: class by class, what it confuses, and on which images."""
