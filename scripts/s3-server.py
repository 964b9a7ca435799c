#!/usr/bin/env python3
"""An S3 server for tests: moto on a free port of the loopback interface.

    s3-server.py --bucket NAME --ready FILE --parent PID

writes its endpoint to FILE once it answers. It ends when the process PID, which must be its parent, ends.

Moto looks at If-Match and If-None-Match first and writes afterwards. Between the two another request could
write, and a compare-and-swap would lose an update that a real server keeps; a read beside a write even fails.
So requests are carried out one at a time. Bodies are read before that and answers sent after it: a slow client
holds up nobody else.
"""

import argparse
import ctypes
import io
import logging
import os
import signal
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

PR_SET_PDEATHSIG = 1


def read_body(environ):
    """The whole body. One that ends early is a client that died, and nothing of it may be stored."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        try:
            return stream.read()
        except (OSError, ValueError) as error:
            raise ConnectionError("the body ends early") from error
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = stream.read(length)
    if len(body) < length:
        raise ConnectionError("the body ends early")
    return body


class OneAtATime:
    """Runs the requests of an application one after the other."""

    def __init__(self, application):
        self.application = application
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        body = read_body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        with self.lock:
            answer = self.application(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                if hasattr(answer, "close"):
                    answer.close()


class Handler(MotoRequestHandler):
    # Head and body are two writes; without this the second can wait for the client's delayed ACK.
    disable_nagle_algorithm = True

    def handle_expect_100(self):
        # Werkzeug sends "100 Continue" itself; once is enough.
        return True


def die_with(parent):
    """Has the kernel end this process when its parent ends, even by SIGKILL."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--ready", required=True, metavar="FILE")
    parser.add_argument("--parent", required=True, type=int, metavar="PID")
    options = parser.parse_args()
    die_with(options.parent)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    created = Client(application).put(f"/{options.bucket}")
    if created.status_code != 200:
        sys.exit(f"cannot create the bucket {options.bucket}: {created.text}")
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    # Renamed into place, so that nobody reads half of it.
    with open(f"{options.ready}.new", "w") as file:
        file.write(f"http://127.0.0.1:{server.port}\n")
    os.rename(f"{options.ready}.new", options.ready)
    server.serve_forever()


main()
