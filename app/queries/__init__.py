"""The questions that the app answers: a module for each, with one function behind a page and its JSON.

Modules here read the library through `app.labelfile.library.Library` and return types of `neuronym.contract`.
They know nothing of HTTP.
"""
