"""`python -m app.cli` is `neuronym`."""

from app.cli.commands import main

main()
