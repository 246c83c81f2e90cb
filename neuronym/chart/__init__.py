"""The geometry of charts: axes with round ticks, and names that keep their distance. Numbers only, no markup."""
