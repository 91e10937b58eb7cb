"""The first program in the namespaces of a private PC/SC service.

Run as a script, with the folder that is to be ``/run/pcscd`` there, and the command to become: brings up loopback, puts the
folder in place, and becomes the command.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def main() -> None:
    """Prepare, and become the command."""
    folder, command = sys.argv[1], sys.argv[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))
    if not os.path.isdir("/run/pcscd"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/pcscd")
    subprocess.run(["mount", "--bind", folder, "/run/pcscd"], check=True)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
