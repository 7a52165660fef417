"""The HTTP server in a pod: answers every request with the pod's name, over IPv4 and IPv6.

Started as ``python -I -S pod_server.py NAME PORT``. It imports next to nothing, so that dozens of them are light.
"""

import socket
import sys

BACKLOG = 256
REQUEST_BYTES = 4096
REQUEST_TIMEOUT_S = 2.0


def serve(name: str, port: int) -> None:
    """Answer one connection after the other, for ever."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(BACKLOG)
    body = f"{name}\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    answer = head.encode() + body
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(REQUEST_TIMEOUT_S)
            try:
                if connection.recv(REQUEST_BYTES):
                    connection.sendall(answer)
            except OSError:
                # The client went away; the next one is waiting.
                continue


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
