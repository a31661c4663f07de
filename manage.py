#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker_site.settings")
    # Those that run for ever and serve no pages do without what makes them. Whoever starts them
    # may have set his own settings for himself.
    is_daemon = sys.argv[1:2] in (["gateway"], ["consume"])
    if is_daemon and os.environ["DJANGO_SETTINGS_MODULE"] == "tracker_site.settings":
        os.environ["DJANGO_SETTINGS_MODULE"] = "tracker_site.daemon_settings"
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
