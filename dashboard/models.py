"""Keys with which programs read the counts."""

import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import Self

from django.db import models

from ingest.models import Site


class ApiKey(models.Model):
    """A key for the JSON API. Only its hash is stored: whoever loses it makes a new one.

    Plain SHA-256 is right here and slow hashing is not: a key is 256 random bits, which
    nobody can try through, and it is checked on every request.
    """

    name = models.CharField(max_length=100, help_text="Who uses it, so that it can be revoked.")
    prefix = models.CharField(max_length=8, unique=True, editable=False)
    hash = models.CharField(max_length=64, editable=False)
    all_sites = models.BooleanField(default=False, help_text="May read every site, new ones too.")
    sites = models.ManyToManyField(Site, blank=True, help_text="Or may read just these.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(
        cls, name: str, all_sites: bool = False, sites: Iterable[Site] = ()
    ) -> tuple[Self, str]:
        """A new key and its text, which is not to be had again."""
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = cls.objects.create(name=name, prefix=prefix, hash=hashed(secret), all_sites=all_sites)
        key.sites.set(sites)
        return key, f"pvt_{prefix}_{secret}"

    def may_read(self, site: Site) -> bool:
        return self.all_sites or self.sites.filter(pk=site.pk).exists()


def hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
