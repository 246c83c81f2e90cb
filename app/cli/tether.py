"""Run a command that ends with its parent, whatever ends that: `python -m app.cli.tether PARENT COMMAND...`.

Linux kills the command when its parent ends; on other systems the command ends only with an orderly end of the parent.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # survives exec


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the line above
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
