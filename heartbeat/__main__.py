"""`python -m heartbeat` is `heartbeat`."""

from heartbeat.cli import main

main()
