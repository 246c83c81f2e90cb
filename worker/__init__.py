"""Everything that needs torch: maps neurons into label files, measures them, and clamps them live."""
