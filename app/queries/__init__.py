"""The questions the app answers: one module a question, one function behind a page and its JSON.

Modules here read the label file through `app.catalog.LabelFile` and return types of `app.contract`. They know nothing
of HTTP.
"""
