"""Search candidate by candidate: the loop, the training job, the trials and who runs them."""
