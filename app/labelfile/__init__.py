"""The label file as the app reads it: which is current, what it holds, its vocabularies."""
