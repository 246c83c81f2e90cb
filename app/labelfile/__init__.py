"""The library in the app: its files open together, their small tables, vocabularies and row numbers."""
