"""Every setting of the project, read from the environment.

The table in README.md lists them; a test holds it against this file.
"""

import logging
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url

from tracker_site.embedded.state import StackState, data_dir
from tracker_site.environment import process_environment

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = data_dir(BASE_DIR)
env = process_environment(StackState(DATA_DIR).environment())


def _kept_secret(path: Path) -> str:
    """A secret made on first use and kept: right for one machine, not for a cluster
    (system check tracker.E001 says so)."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(secrets.token_urlsafe(48) + "\n")
        return path.read_text().strip()


VERSION = "0.1.0"

# --- Web -------------------------------------------------------------------------------
DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY", "") or _kept_secret(DATA_DIR / "secret_key")
SECRET_KEY_IS_SHARED = env.text("SECRET_KEY", "") != ""
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", "")
PUBLIC_URL = env.text("PUBLIC_URL", "http://localhost:8080").rstrip("/")
HTTPS = env.flag("HTTPS", False)
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# Probes and Prometheus speak plain HTTP to the process itself.
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
# Addresses or networks whose X-Forwarded-For is believed.
TRUSTED_PROXIES = env.words("TRUSTED_PROXIES", "")

# --- Sites and ingest ------------------------------------------------------------------
DEFAULT_SITE = env.text("DEFAULT_SITE", "localhost")
MAX_BODY_BYTES = env.number("MAX_BODY_BYTES", 2_097_152, least=1_024)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
# Requests a second and address, events a second and site, in each process; 0 switches a
# limit off.
RATE_LIMIT_ADDRESS = env.number("RATE_LIMIT_ADDRESS", 100)
RATE_LIMIT_SITE = env.number("RATE_LIMIT_SITE", 0)
# A file of MaxMind's format in place of the packaged one; off: page views have no country.
GEOIP_DATABASE = env.text("GEOIP_DATABASE", "")
# One domain a line, in place of our own short list.
REFERRER_SPAM_FILE = env.text("REFERRER_SPAM_FILE", "")

# --- Kafka -----------------------------------------------------------------------------
KAFKA_BOOTSTRAP_SERVERS = env.text("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
# How brokers and clients know each other (ingest/kafka_security.py).
KAFKA_SECURITY_PROTOCOL = env.choice(
    "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
)
KAFKA_SASL_MECHANISM = env.choice(
    "KAFKA_SASL_MECHANISM", "SCRAM-SHA-512", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
)
KAFKA_SASL_USERNAME = env.text("KAFKA_SASL_USERNAME", "")
KAFKA_SASL_PASSWORD = env.text("KAFKA_SASL_PASSWORD", "")
# PEM files.
KAFKA_SSL_CA_LOCATION = env.text("KAFKA_SSL_CA_LOCATION", "")
KAFKA_SSL_CERTIFICATE_LOCATION = env.text("KAFKA_SSL_CERTIFICATE_LOCATION", "")
KAFKA_SSL_KEY_LOCATION = env.text("KAFKA_SSL_KEY_LOCATION", "")
KAFKA_TOPIC = env.text("KAFKA_TOPIC", "pageviews")
KAFKA_DEAD_TOPIC = f"{KAFKA_TOPIC}.dead"
KAFKA_GROUP = env.text("KAFKA_GROUP", "counters")
KAFKA_PARTITIONS = env.number("KAFKA_PARTITIONS", 6, least=1, most=10_000)
KAFKA_REPLICATION = env.number("KAFKA_REPLICATION", 1, least=1, most=15)
KAFKA_RETENTION_HOURS = env.number("KAFKA_RETENTION_HOURS", 168, least=1)
KAFKA_SESSION_TIMEOUT_MS = env.number("KAFKA_SESSION_TIMEOUT_MS", 45_000, least=1_000)
KAFKA_DELIVERY_TIMEOUT_MS = env.number("KAFKA_DELIVERY_TIMEOUT_MS", 5_000, least=100)
KAFKA_LINGER_MS = env.number("KAFKA_LINGER_MS", 2, most=1_000)
# Events that wait for Kafka's ack, a process; beyond it requests get 503 at once.
KAFKA_QUEUE_EVENTS = env.number("KAFKA_QUEUE_EVENTS", 20_000, least=1)

# --- Redis -----------------------------------------------------------------------------
REDIS_URL = env.text("REDIS_URL", "redis://localhost:6379/0")
# Fixed at install: changing it moves every site to another key.
REDIS_SHARDS = env.number("REDIS_SHARDS", 1, least=1, most=1_024)

# --- Counting --------------------------------------------------------------------------
CONSUMER_BATCH_EVENTS = env.number("CONSUMER_BATCH_EVENTS", 20_000, least=1, most=100_000)
CONSUMER_MAX_INVALID = env.number("CONSUMER_MAX_INVALID", 1_000, least=1)
DUPLICATE_WINDOW_MINUTES = env.number("DUPLICATE_WINDOW_MINUTES", 10, least=1)
BACKFILL_DUPLICATE_WINDOW_DAYS = env.number("BACKFILL_DUPLICATE_WINDOW_DAYS", 30, least=1)
MINUTE_RETENTION_HOURS = env.number("MINUTE_RETENTION_HOURS", 48, least=1)
HOUR_RETENTION_DAYS = env.number("HOUR_RETENTION_DAYS", 90, least=1)
TOP_VALUES = env.number("TOP_VALUES", 1_000, least=10, most=100_000)

# --- Archive ---------------------------------------------------------------------------
# A folder (file:///path) or any S3: s3://bucket/prefix?endpoint_override=host:port&scheme=http
ARCHIVE_URL = env.text("ARCHIVE_URL", f"file://{DATA_DIR / 'archive'}")
ARCHIVE_SEGMENT_EVENTS = env.number("ARCHIVE_SEGMENT_EVENTS", 100_000, least=1, most=5_000_000)
ARCHIVE_INTERVAL_SECONDS = env.number("ARCHIVE_INTERVAL_SECONDS", 300, least=1)
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", REDIS_URL)
# Celery's client would not look at the certificate otherwise.
CELERY_BROKER_USE_SSL = CELERY_BROKER_URL.startswith("rediss://") and {
    "ssl_cert_reqs": "required",
    **{k: v for k, v in parse_qsl(urlsplit(CELERY_BROKER_URL).query) if k.startswith("ssl_")},
}

# --- Logs ------------------------------------------------------------------------------
LOG_FORMAT = env.choice("LOG_FORMAT", "json", ["json", "text"])
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])

# --- Django ----------------------------------------------------------------------------
INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tracker_site",
    "ingest",
    "processing",
    "dashboard",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "ingest.cors.TrackCorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tracker_site.urls"
ASGI_APPLICATION = "tracker_site.asgi.application"
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
                "dashboard.views.page_context",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}"),
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Several processes write: a write-ahead log, and transactions that take the
    # write lock at their start and wait for it instead of failing.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
else:
    # A probe must not wait for a host that is gone.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 3)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Static files are served from the apps themselves; nothing has to be collected.
STATIC_ROOT = None
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    # /api/docs describes them; what OPTIONS would tell, not every renderer can show.
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ingest.exception_handler.handle_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Page view tracker",
    "DESCRIPTION": "Send page views, read their counts.",
    "VERSION": "1",
    # JSON Schema as msgspec writes it, with null as a type, is valid from 3.1 on.
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "tracker_site.beat:SteadyScheduler"
CELERY_BEAT_SCHEDULE = {
    "archive": {
        "task": "processing.tasks.archive",
        "schedule": ARCHIVE_INTERVAL_SECONDS,
        # One that no worker took in time is not made up for: the next does its work.
        "options": {"expires": ARCHIVE_INTERVAL_SECONDS},
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    # An answer of 4xx or 503 is the sender's to read, and there may be many: only crashes are
    # logged, with their stack.
    "filters": {
        "crashes": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: record.exc_info and record.levelno >= logging.ERROR,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.request": {"filters": ["crashes"]},
        # Host names that are not ours, forms without their token: 400 and 403 say what to do.
        "django.security": {"level": "CRITICAL"},
        "daphne": {"level": "WARNING"},
    },
}
