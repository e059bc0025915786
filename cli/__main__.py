"""``python -m mmsearch.cli``."""

from mmsearch.cli.app import main

main()
