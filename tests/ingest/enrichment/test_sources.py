import pytest

from ingest.enrichment.sources import Kind, Source, find_named, find_source


@pytest.mark.parametrize(
    ("hostname", "name", "kind"),
    [
        ("www.google.de", "Google", Kind.SEARCH),
        ("google.co.uk", "Google", Kind.SEARCH),
        ("google.com.br", "Google", Kind.SEARCH),
        ("maps.google.com", "Google", Kind.SEARCH),
        ("docs.google.com", "Google", Kind.REFERRAL),
        ("mail.google.com", "Gmail", Kind.EMAIL),
        ("gemini.google.com", "Gemini", Kind.AI),
        ("chatgpt.com", "ChatGPT", Kind.AI),
        ("www.perplexity.ai", "Perplexity", Kind.AI),
        ("copilot.microsoft.com", "Copilot", Kind.AI),
        ("edgeservices.bing.com", "Copilot", Kind.AI),
        ("www.bing.com", "Bing", Kind.SEARCH),
        ("l.facebook.com", "Facebook", Kind.SOCIAL),
        ("t.co", "X", Kind.SOCIAL),
        ("old.reddit.com", "Reddit", Kind.SOCIAL),
        ("com.slack", "Slack", Kind.SOCIAL),
        ("m.youtube.com", "YouTube", Kind.VIDEO),
        ("www.amazon.co.jp", "Amazon", Kind.SHOPPING),
        ("mail.yandex.ru", "Yandex", Kind.EMAIL),
        ("yandex.ru", "Yandex", Kind.SEARCH),
        ("news.example", "news.example", Kind.REFERRAL),
        ("www.news.example", "news.example", Kind.REFERRAL),
        # Who merely has the name in its own is somebody else.
        ("google.example.org", "google.example.org", Kind.REFERRAL),
        ("notgoogle.com", "notgoogle.com", Kind.REFERRAL),
        ("x.com.evil.example", "x.com.evil.example", Kind.REFERRAL),
        ("localhost", "localhost", Kind.REFERRAL),
    ],
)
def test_it_knows_sources_by_their_hosts(hostname: str, name: str, kind: Kind) -> None:
    assert find_source(hostname) == Source(name, kind)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("google", Source("Google", Kind.SEARCH)),
        ("ChatGPT", Source("ChatGPT", Kind.AI)),
        ("chatgpt.com", Source("ChatGPT", Kind.AI)),
        ("fb", Source("Facebook", Kind.SOCIAL)),
        ("twitter", Source("X", Kind.SOCIAL)),
        ("newsletter", None),
        ("mail", None),
        ("com", None),
        ("some.example", None),
    ],
)
def test_it_knows_sources_by_what_campaigns_call_them(name: str, source: Source | None) -> None:
    assert find_named(name) == source
