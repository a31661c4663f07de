#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    # The gateway wants no admin, no templates and no framework in its memory.
    parts = "gateway_settings" if sys.argv[1:2] == ["gateway"] else "settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"tracker_site.{parts}")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
