"""The parts of a run's page, a file each: a function that gives what its template shows, or None."""
