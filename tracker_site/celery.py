"""The Celery application; `celery -A tracker_site worker` and `beat` find it here."""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning

# Every process imports this, those that serve pages too: only who starts a worker or beat can
# say that it does with less (`daemon_settings`).
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker_site.settings")
# It warns every root, and every group without a name, of tasks as pickles; ours are JSON.
warnings.filterwarnings("ignore", category=SecurityWarning)
app = Celery("tracker_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
