"""The AWS CLI 1 as a program that starts quickly: loading takes most of a second, and a test calls it a hundred times.

`aws_cli.py SOCKET` loads the CLI once and waits for calls. Under the name `aws`, with `AWS_WARM` naming the socket, it
hands arguments, environment and standard streams of a call over to a copy of that process, and ends as the copy does.
"""

import array
import json
import os
import signal
import socket
import sys

STREAMS = 3


def call(path):
    """Hands a call over; gives its exit status."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        asked = {"arguments": sys.argv[1:], "environment": dict(os.environ)}
        server.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", range(STREAMS)))])
        server.sendall(json.dumps(asked).encode() + b"\n")
        return int(server.makefile().readline() or 70)


def answer(client, cli):
    """Runs a call in this process; gives its exit status."""
    _, control, _, _ = client.recvmsg(1, socket.CMSG_SPACE(STREAMS * array.array("i").itemsize))
    for stream, descriptor in enumerate(array.array("i", control[0][2])):
        os.dup2(descriptor, stream)
    asked = json.loads(client.makefile().readline())
    os.environ.update(asked["environment"])
    try:
        return cli.main(asked["arguments"])
    except SystemExit as ended:
        return ended.code or 0


def serve(path):
    import awscli.clidriver

    cli = awscli.clidriver.create_clidriver()
    # These load what every call needs.
    cli.create_help_command()
    cli.session.get_component("endpoint_resolver")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = answer(client, cli)
                sys.stdout.flush()
                sys.stderr.flush()
                client.sendall(b"%d\n" % status)
                os._exit(0)
            client.close()


if __name__ == "__main__":
    if os.path.basename(sys.argv[0]) == "aws":
        sys.exit(call(os.environ["AWS_WARM"]))
    serve(sys.argv[1])
