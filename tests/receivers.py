"""What messages are sent to: a real HTTP server and a real SMTP server, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.ports import free_port


@dataclass
class HttpReceiver:
    """Keeps each request's headers and JSON; answers with `answers`, the last one for ever."""

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    drips: bool = False  # takes a message, and lets its answer drip in until the receiver ends
    over: threading.Event = field(default_factory=threading.Event)
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook/s3cr3t-token"

    def titles(self) -> list[str]:
        return [body["title"] for _, body in self.got]


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.drips:
                self.send_response(200)
                while not receiver.over.wait(0.2):
                    self.send_header("X-More", "later")
                    self.flush_headers()
                return
            answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            if answer < 300:
                receiver.got.append((dict(self.headers), json.loads(body)))
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Mailbox:
    """Keeps what arrives; `refuse` is answered to RCPT instead, while it is set."""

    port: int = 0
    refuse: str = ""
    got: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return "250 taken"

    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for _, message in self.got]


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    mailbox.port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
