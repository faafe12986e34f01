#!/usr/bin/env python3
"""request.py KUBECONFIG FOLDER METHOD PATH [BODY]: one request as the administrator. Prints the answer; exit
code 0 if its code is 2xx, 22 if it is another, 1 if there is none."""
import http.client
import sys

from faultlib.api import Credentials


def main():
    kubeconfig, folder, method, path, *body = sys.argv[1:]
    try:
        credentials = Credentials(kubeconfig, folder)
        connection = http.client.HTTPSConnection(credentials.host, credentials.port, timeout=20,
                                                 context=credentials.context())
        connection.request(method, path, body[0].encode() if body else None,
                           {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    return 0 if 200 <= answer.status < 300 else 22


if __name__ == "__main__":
    sys.exit(main())
