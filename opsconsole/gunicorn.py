"""How gunicorn serves the console: WEB_CONCURRENCY processes (2) of four threads, on PORT (8000)."""

import os

bind = f"{os.environ.get('OPS_BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 4
timeout = 30
graceful_timeout = 10
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
accesslog = None
control_socket_disable = True
