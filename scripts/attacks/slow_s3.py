"""A proxy in front of an S3 server, on the loopback interface, that delays, holds or refuses requests."""

import dataclasses
import http.client
import http.server
import re
import socketserver
import threading
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client wants; `key` is the path below the bucket, decoded."""

    method: str
    key: str
    query: dict[str, list[str]]
    is_conditional: bool
    body: bytes

    @property
    def is_deletion(self) -> bool:
        return self.method == "DELETE" or (self.method == "POST" and "delete" in self.query)

    def names(self, text: str) -> bool:
        """Whether the request is about a key that holds `text`; a deletion of several names them in its body."""
        return text in self.key or text.encode() in self.body


# Waits as long as it likes, and returns the status that the client gets instead of the server's answer, or None.
Policy = Callable[[Request], int | None]


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients are killed here, in the middle of their requests


class Proxy:
    """Passes requests on to `upstream` (http://host:port).

    In listings, objects look older by `age`: those that were written until `born` (UTC) where it is given, else those
    that were written longer than `settled` ago.
    """

    def __init__(
        self,
        upstream: str,
        policy: Policy | None = None,
        age: timedelta = timedelta(),
        born: datetime | None = None,
        settled: timedelta = timedelta(),
    ):
        self.host = urllib.parse.urlsplit(upstream).netloc
        self.policy: Policy = policy or (lambda request: None)
        self.age, self.born, self.settled = age, born, settled
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def setup(self):
                super().setup()
                self.upstream = http.client.HTTPConnection(proxy.host, timeout=120)

            def finish(self):
                self.upstream.close()
                super().finish()

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def do(self):
                proxy._pass_on(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _pass_on(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(handler.path)
        conditional = "If-Match" in handler.headers or "If-None-Match" in handler.headers
        key = urllib.parse.unquote(parts.path.lstrip("/").partition("/")[2])
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        refused = self.policy(Request(handler.command, key, query, conditional, body))
        if refused is not None:
            self._answer(handler, refused, [], b"<Error><Code>SlowDown</Code><Message>attack</Message></Error>")
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        try:
            handler.upstream.request(handler.command, handler.path, body, headers)
            answer = handler.upstream.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            handler.upstream.close()
            self._answer(handler, 502, [], b"")
            return
        if self.age and handler.command == "GET" and "list-type" in query:
            data = self._older(data)
        self._answer(handler, answer.status, answer.getheaders(), data)

    def _older(self, listing: bytes) -> bytes:
        until = self.born or datetime.now(UTC).replace(tzinfo=None) - self.settled

        def older(match):
            time = datetime.fromisoformat(match[1].decode().removesuffix("Z"))
            if time <= until:
                time -= self.age
            return f"<LastModified>{time.isoformat(timespec='milliseconds')}Z<".encode()

        return re.sub(rb"<LastModified>([^<]*)<", older, listing)

    def _answer(self, handler, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        own = {"connection", "transfer-encoding", "content-length", "server", "date"}
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in own:
                handler.send_header(name, value)
        # The answer to HEAD states the length of what it leaves out.
        is_head = handler.command == "HEAD"
        length = dict((name.lower(), value) for name, value in headers).get("content-length") if is_head else None
        handler.send_header("Content-Length", length or str(len(data)))
        handler.end_headers()
        if not is_head:
            handler.wfile.write(data)
