"""Label files in dataset repositories of a model hub: pushed with a card that tells what they are, and pulled."""
