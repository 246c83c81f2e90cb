"""`python -m worker.cli` is `neuronym-worker`."""

from worker.cli.group import main

main()
