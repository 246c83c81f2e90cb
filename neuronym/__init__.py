"""What the web server and the worker share, and what scripts import: knows neither, and no torch."""
