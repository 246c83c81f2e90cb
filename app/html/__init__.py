"""Templates, addresses and text of the pages."""
