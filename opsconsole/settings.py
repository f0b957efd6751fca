"""Settings, all from the environment (see README). One file; a bad value stops the start with one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from opsconsole import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

# --- The console's own settings ---------------------------------------------------------------------------
OPS_PRODUCTION = env.flag("OPS_PRODUCTION", False)
OPS_DATA_DIR = env.directory("OPS_DATA_DIR", BASE_DIR / "var")
OPS_DEMO = env.flag("OPS_DEMO", True)
OPS_ADMIN_PASSWORD = env.text("OPS_ADMIN_PASSWORD")
PORT = env.integer("PORT", 8000, low=1, high=65535)
WEB_CONCURRENCY = env.integer("WEB_CONCURRENCY", 2, low=1, high=64)
OPS_WEB_THREADS = env.integer("OPS_WEB_THREADS", 2, low=1, high=64)
#: Seconds an operation may take before the worker settles it to what the engine then shows.
OPS_DEADLINES = {
    "run": env.integer("OPS_DEADLINE_RUN", 60, low=1, high=86_400),
    "pause": env.integer("OPS_DEADLINE_PAUSE", 60, low=1, high=86_400),
    "forced-pause": env.integer("OPS_DEADLINE_FORCED_PAUSE", 30, low=1, high=86_400),
    "continue": env.integer("OPS_DEADLINE_CONTINUE", 60, low=1, high=86_400),
    "stop": env.integer("OPS_DEADLINE_STOP", 30, low=1, high=86_400),
    "detect": env.integer("OPS_DEADLINE_DETECT", 30, low=1, high=86_400),
}
#: Operations that nobody may ask for without a reason.
OPS_REASON_REQUIRED = env.some_of("OPS_REASON_REQUIRED", tuple(OPS_DEADLINES))
#: Seconds a worker may hold a task without renewing its lease.
OPS_LEASE_SECONDS = env.integer("OPS_LEASE_SECONDS", 10, low=5, high=600)
#: Seconds between two looks at all that runs.
OPS_OBSERVE_SECONDS = env.integer("OPS_OBSERVE_SECONDS", 1, low=1, high=60)
#: Seconds after which the objects of a task that does not run are looked for again.
OPS_DETECT_SECONDS = env.integer("OPS_DETECT_SECONDS", 60, low=1, high=86_400)
#: Seconds of steady running after which earlier automatic restarts no longer count against the limit.
OPS_RESTART_WINDOW = env.integer("OPS_RESTART_WINDOW", 600, low=1, high=86_400)
#: What is kept of each task's metrics: stretches of so many seconds, for so many seconds.
OPS_METRICS_KEEP = env.retention("OPS_METRICS_KEEP", "10s:1h,1m:1d,10m:30d")
#: Whether /metrics tells of each task, or of all together only.
OPS_METRICS_TASKS = env.flag("OPS_METRICS_TASKS", True)
#: Lines kept of each run's log, and days that they are kept.
OPS_LOG_LINES = env.integer("OPS_LOG_LINES", 10_000, low=100, high=1_000_000)
OPS_LOG_DAYS = env.integer("OPS_LOG_DAYS", 7, low=1, high=3_650)
#: Seconds between two looks at the alert rules, and days that resolved alerts are kept.
OPS_ALERT_SECONDS = env.integer("OPS_ALERT_SECONDS", 5, low=1, high=300)
OPS_ALERT_DAYS = env.integer("OPS_ALERT_DAYS", 90, low=1, high=3_650)
#: The address under which people reach this console, for links in messages.
OPS_URL = env.address("OPS_URL", "")

# --- Safety ------------------------------------------------------------------------------------------------
DEBUG = False
SECRET_KEY = env.secret_key("OPS_SECRET_KEY", OPS_DATA_DIR, production=OPS_PRODUCTION)
SECRET_KEY_FALLBACKS = env.names("OPS_SECRET_KEY_FALLBACKS", "")
ALLOWED_HOSTS = env.names("OPS_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
if OPS_PRODUCTION and not env.text("OPS_ALLOWED_HOSTS"):
    raise ImproperlyConfigured("OPS_ALLOWED_HOSTS must name the hosts of this console when OPS_PRODUCTION=1.")
if OPS_PRODUCTION and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("OPS_ALLOWED_HOSTS must not be * when OPS_PRODUCTION=1.")
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS] if OPS_PRODUCTION else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = OPS_PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = OPS_PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if OPS_PRODUCTION else None
SECURE_HSTS_SECONDS = 31_536_000 if OPS_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = OPS_PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Django ------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_tables2",
    "tasks.apps.TasksConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tasks.sign_in.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tasks.locale.numbers_as_read",
]
ROOT_URLCONF = "opsconsole.urls"
WSGI_APPLICATION = "opsconsole.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "NAME": "rows",
        "DIRS": [BASE_DIR / "templates" / "rows"],
        "OPTIONS": {"trim_blocks": True, "lstrip_blocks": True},
    },
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "tasks:list"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]


def database(url: str) -> dict[str, object]:
    """Return the control database at `url`."""
    try:
        config = dict(dj_database_url.parse(url))
    except (ValueError, KeyError) as error:
        # The value holds a password: the sentence names the setting, never what it says.
        raise ImproperlyConfigured(
            f"DATABASE_URL can't be read ({type(error).__name__}); "
            "it looks like postgresql://user:password@host:5432/name."
        ) from None
    config["CONN_MAX_AGE"] = 60
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["ENGINE"] = "opsconsole.sqlite"
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON",
        }
    elif config["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must be an sqlite or a postgresql address.")
    else:
        config["ENGINE"] = "opsconsole.postgresql"
        config["CONN_HEALTH_CHECKS"] = True
        # An index may take its time; but a migration that waits for a lock blocks everybody behind it.
        limit = "" if "migrate" in sys.argv[:2] else "-c statement_timeout=30s"
        # A database that a network no longer reaches has to become an error: a worker must not wait for it for ever.
        config["OPTIONS"] = {
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            # Its statements are short: compiling one took longer than running it.
            "options": f"-c jit=off -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s {limit}",
        }
    return config


DATABASES = {"default": database(env.text("DATABASE_URL") or f"sqlite:///{OPS_DATA_DIR / 'console.db'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Of each process, for seconds: what many pages ask for at once and none needs to the moment.
# Answers are long, so few of them are kept.
_MEMORY = "django.core.cache.backends.locmem.LocMemCache"
CACHES = {
    "default": {"BACKEND": _MEMORY, "OPTIONS": {"MAX_ENTRIES": 1_000}},
    "answers": {"BACKEND": _MEMORY, "LOCATION": "answers", "OPTIONS": {"MAX_ENTRIES": 100}},
}

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = OPS_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# E-mail, for alerts. Without a server none is sent, and each message says so.
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS, EMAIL_USE_SSL = env.smtp("OPS_SMTP_URL")
EMAIL_TIMEOUT = 8
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("OPS_EMAIL_FROM", "opsconsole@localhost")

LOG_LEVEL = env.one_of("OPS_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # It complains of addresses, and those hold tokens: tasks.alerts.delivery keeps what it says, without them.
    "loggers": {"apprise": {"handlers": [], "level": "WARNING", "propagate": False}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
