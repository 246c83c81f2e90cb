"""The label file in the app: opening the current one, its small tables, its vocabularies."""
