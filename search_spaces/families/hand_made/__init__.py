"""Networks made by hand that a search is held against: at any width, for images of any size."""
