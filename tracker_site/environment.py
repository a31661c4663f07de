"""Typed readers for environment values that refuse what they do not understand.

Values are looked up in the process environment first, then in the state of the
stack that `manage.py up` runs (see `tracker_site.embedded.state`), then the
default stands. Every reader raises `ImproperlyConfigured` naming the variable,
the value and the remedy.
"""

import os
from collections.abc import Mapping, Sequence

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Environment:
    """Reads settings from `values`, falling back to `stack`.

    `declared` lists the names that were asked for, in order; a test holds the
    README's table and the Kubernetes configuration against it.
    """

    def __init__(self, values: Mapping[str, str], stack: Mapping[str, str]) -> None:
        self._values = {**stack, **{k: v for k, v in values.items() if v != ""}}
        self.declared: list[str] = []

    def text(self, name: str, default: str) -> str:
        self.declared.append(name)
        return self._values.get(name, default)

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise _refusal(name, value, f"one of {', '.join(choices)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value not in _TRUE | _FALSE:
            raise _refusal(name, value, "true or false")
        return value in _TRUE

    def number(self, name: str, default: int, least: int = 0, most: int = 2**53) -> int:
        value = self.text(name, str(default))
        try:
            number = int(value)
        except ValueError:
            raise _refusal(name, value, f"a whole number from {least} to {most}") from None
        if not least <= number <= most:
            raise _refusal(name, value, f"a whole number from {least} to {most}")
        return number

    def words(self, name: str, default: str) -> list[str]:
        """A comma-separated list; empty words are dropped."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]


def _refusal(name: str, value: str, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"The environment variable {name} is {value!r}; it must be {wanted}. "
        "Correct it or unset it to get the default (see the settings table in README.md)."
    )


def process_environment(stack: Mapping[str, str]) -> Environment:
    return Environment(os.environ, stack)
