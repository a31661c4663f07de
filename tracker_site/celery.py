"""The Celery application; `celery -A tracker_site worker` and `beat` find it here."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker_site.settings")
app = Celery("tracker_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
