"""How gunicorn serves the console: WEB_CONCURRENCY processes (2) of OPS_WEB_THREADS (2) threads, on PORT (8000)."""

import os

bind = f"{os.environ.get('OPS_BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
# Short answers wait for each other less where few threads of a process compete for its one interpreter lock.
threads = int(os.environ.get("OPS_WEB_THREADS", "2"))
timeout = 30
graceful_timeout = 10
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
accesslog = None
control_socket_disable = True
