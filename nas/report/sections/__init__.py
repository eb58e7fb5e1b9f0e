"""The parts of a run's page, a file each: a function that gives its HTML, or an empty string where it says nothing."""
