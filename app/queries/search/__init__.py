"""Search: the language, the filters, the matching tokens, the rows, the results."""
