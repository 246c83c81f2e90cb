"""Questions about two models of a pair."""
