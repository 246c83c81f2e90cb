"""The search: its language, its filters, the tokens that match, the rows that hold them, and the results."""
