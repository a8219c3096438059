"""Stands where an interpreter would, and has one on standby run the command.

Run as ``client.py ADDRESS VENV PYTHON [ARGUMENT ...]`` without any library. What is no
command of the engine, nor pytest, is left to the interpreter itself.
"""

import json
import os
import signal
import socket
import sys

# What ends a command, and is handed on to it.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Send what this process was started with, and end as the command ends."""
    address, venv, python, *arguments = sys.argv[1:]
    words = arguments[1:] if arguments[:1] == ["-P"] else arguments
    module = words[:1] == ["-m"] and words[1].partition(".")[0] in ("mlops", "pytest")
    code = words[:1] == ["-c"] and "import mlops.training.reload" in words[1]
    cold = os.path.join(venv, "bin", "python3")
    # An interpreter that has started reads this no more.
    seeded = "PYTHONHASHSEED" in os.environ
    if seeded or not (module or code):
        os.execv(cold, [cold, *arguments])
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
    except OSError:
        os.execv(cold, [cold, *arguments])
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "ignored": [one for one in ENDING if signal.getsignal(one) == signal.SIG_IGN],
        "python": python,
        "umask": umask,
        "venv": venv,
    }
    message = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [message], [0, 1, 2])
    server.sendall(message[sent:])
    answers = server.makefile("r")
    process = int(answers.readline())

    def forward(number: int, _: object) -> None:
        os.kill(process, number)

    for one in ENDING:
        signal.signal(one, forward)
    status = int(answers.readline() or 1)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


main()
