"""The loop over layers of one model or a pair, block by block, going on where it was cut off."""
