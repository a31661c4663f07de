"""How the benchmarks start a process of the product."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
DATA = ROOT / ".data" / "bench"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The product's settings and nothing else of the product that the caller's shell may hold."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "tracker_site.settings",
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "text",
        **settings,
    }
