"""What the web server and the worker share, and scripts import. Depends on neither of them, nor on torch."""
