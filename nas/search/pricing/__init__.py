"""What networks of a search cost: its table, its budgets, and how far the table is off near them."""
