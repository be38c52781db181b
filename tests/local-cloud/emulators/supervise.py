"""Runs one command, and ends it together with every process that it started.

    python3 supervise.py COMMAND [ARGUMENT...]

The command runs in a process group of its own. When standard input closes, which it also does when the process that
holds its other end crashes or is killed, the whole group is killed. The line `stop` on standard input asks the command
to end by itself first (SIGINT, as Ctrl-C would) and gives it ten seconds. Ctrl-C in the terminal does not reach the
command. Exits with the command's own status, or 0 when it was told to end.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 10


def main():
    # Handlers, not SIG_IGN: an ignored signal would stay ignored in the command.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)

    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    told_to_end = threading.Event()

    def watch():
        line = sys.stdin.readline()
        told_to_end.set()
        if line.strip() == "stop":
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        kill_group(process.pid)

    threading.Thread(target=watch, daemon=True).start()
    status = process.wait()
    # What the command started may outlive it.
    kill_group(process.pid)
    sys.stdout.flush()
    os._exit(0 if told_to_end.is_set() else (status if status >= 0 else 128 - status))


def kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


main()
