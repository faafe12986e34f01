#!/usr/bin/env python3
"""request.py KUBECONFIG FOLDER METHOD PATH [-]: one request as the administrator, with the body from stdin if
there is a -. Prints the answer; exit code 0 if its code is 2xx, 22 if it is another, 1 if there is none."""
import http.client
import sys

from faultlib.api import Credentials

_TYPES = {"PATCH": "application/merge-patch+json"}


def main():
    kubeconfig, folder, method, path, *body = sys.argv[1:]
    try:
        credentials = Credentials(kubeconfig, folder)
        connection = http.client.HTTPSConnection(credentials.host, credentials.port, timeout=20,
                                                 context=credentials.context())
        connection.request(method, path, sys.stdin.buffer.read() if body else None,
                           {"Content-Type": _TYPES.get(method, "application/json")} if body else {})
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    return 0 if 200 <= answer.status < 300 else 22


if __name__ == "__main__":
    sys.exit(main())
