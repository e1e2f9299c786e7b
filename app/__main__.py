"""Run the command line: `python -m app`, and the command `facet`."""

import os
import sys


def main() -> None:
    """Run the command line."""
    # The library of numpy would start a thread per core when it is imported. No operation here is large
    # enough for them, and they count for the limit on processes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.argv[1:2] == ["serve"]:  # now, as the imports take seconds
        from app.processes.signals import keep_hang_ups

        keep_hang_ups()
    from app import cli

    cli.main()


if __name__ == "__main__":
    main()
