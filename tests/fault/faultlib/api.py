"""A small Kubernetes client on the standard library that tells apart what a crash test must tell apart:
a request that never left, one that was answered, and one of which nobody knows what became of it."""
import base64
import http.client
import json
import os
import re
import ssl
import urllib.parse


class Unsent(Exception):
    """The request has not reached the server: it cannot have had an effect."""


class Doubt(Exception):
    """The request was sent and not answered: it may have had its effect or not."""


class Credentials:
    """Address, authority and client certificate of a kubeconfig as `orch server` writes it."""

    def __init__(self, kubeconfig, folder):
        with open(kubeconfig, encoding="utf-8") as file:
            text = file.read()

        def field(name):
            found = re.search(r"^\s*(?:- )?" + name + r":\s*\"?([^\s\"]+)", text, re.M)
            if not found:
                raise ValueError(f"{kubeconfig} has no {name}")
            return found.group(1)

        address = urllib.parse.urlparse(field("server"))
        self.host, self.port = address.hostname, address.port
        self.authority = base64.b64decode(field("certificate-authority-data")).decode()
        # The ssl module takes a client certificate from files only.
        self.pair = os.path.join(folder, "client.pem")
        with open(os.open(self.pair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for name in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(field(name)) + b"\n")

    def context(self):
        context = ssl.create_default_context(cadata=self.authority)
        context.load_cert_chain(self.pair)
        return context


class Api:
    """One connection, kept alive; one thread."""

    def __init__(self, credentials, timeout=20.0):
        self._to = credentials
        self._context = credentials.context()
        self._timeout = timeout
        self._connection = None

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self):
        if self._connection is None:
            connection = http.client.HTTPSConnection(self._to.host, self._to.port, timeout=self._timeout,
                                                     context=self._context)
            try:
                connection.connect()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise Unsent(str(error)) from error
            self._connection = connection
        return self._connection

    def request(self, method, path, body=None, content_type="application/json"):
        """(code, parsed answer). Unsent or Doubt if there is no answer, or only a part of one."""
        connection = self._connected()
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
            parsed = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Doubt(f"{type(error).__name__}: {error}") from error
        if answer.will_close:
            self.close()
        return answer.status, parsed

    def stream(self, path):
        """Yields what a watch delivers, one object at a time, until it ends or breaks. An answer that is
        not a stream is given as one event of type ERROR, as inside of a stream."""
        connection = self._connected()
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                yield {"type": "ERROR", "object": json.loads(answer.read())}
                return
            rest = b""
            while True:
                piece = answer.read1(65536)
                if not piece:
                    return
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()  # a line cut off by a crash is no event
                for line in lines:
                    yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError):
            return
        finally:
            self.close()
