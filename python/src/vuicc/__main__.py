"""Runs a command beside a PC/SC service with virtual readers: ``python3 -m vuicc COMMAND``.

The machine's service is used if one runs and has virtual readers; otherwise one is started for the command, without any
privilege where namespaces can be made, and ends with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from . import PcscService, VuiccError, program


def main() -> int:
    """The exit code is that of the command."""
    parser = argparse.ArgumentParser(prog="python3 -m vuicc", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument(
        "--pcscd",
        choices=["auto", "system", "private", "shared"],
        default="auto",
        help="the service: the one that runs, one in namespaces of its own, one in /run/pcscd [default: the first there is]",
    )
    parser.add_argument("--readers", type=int, default=1, metavar="N", help="virtual readers of an own service [default: 1]")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run, with its arguments")
    chosen = parser.parse_args()
    if not chosen.command:
        parser.error("a command is missing, as in: python3 -m vuicc opensc-tool --list-readers")
    try:
        with PcscService.open(chosen.pcscd, readers=chosen.readers) as service:
            service.use()
            line = [*service.enter(), *chosen.command]
            os.environ["PATH"] = os.path.dirname(program()) + os.pathsep + os.environ.get("PATH", os.defpath)
            # The terminal sends Ctrl-C to the command as well, which knows what it means to it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: child.terminate())
            child = subprocess.Popen(line, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            status = child.wait()
    except (VuiccError, OSError, ValueError) as error:
        print(f"vuicc: {error}", file=sys.stderr)
        return 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
