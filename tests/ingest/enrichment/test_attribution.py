import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.attribution import attribute, kept_referrer, read_tag, referrer_host
from ingest.enrichment.click_id import find_click

PAGE = "www.example.com"


@pytest.mark.parametrize(
    ("referrer", "utm", "click_id", "source", "channel"),
    [
        ("", {}, "", None, "Direct"),
        ("https://www.google.com/", {}, "", "Google", "Organic Search"),
        ("https://chatgpt.com/", {}, "", "ChatGPT", "AI Assistant"),
        ("https://news.example/a", {}, "", "news.example", "Referral"),
        ("android-app://com.google.android.gm/", {}, "", "Gmail", "Email"),
        # From page to page there is no arrival.
        ("https://example.com/a", {}, "", None, None),
        ("https://www.example.com/", {}, "", None, None),
        ("not an address", {}, "", None, "Direct"),
        ("https://./", {}, "", None, "Direct"),
        ("https://www.google.com./", {}, "", "Google", "Organic Search"),
        # A campaign counts more than a click id, a click id more than the referrer.
        ("https://www.google.com/", {}, "gclid", "Google", "Paid Search"),
        ("https://l.facebook.com/", {}, "fbclid", "Facebook", "Organic Social"),
        ("", {"utm_source": "google", "utm_medium": "cpc"}, "", "Google", "Paid Search"),
        ("https://t.co/x", {"utm_source": "spring-letter", "utm_medium": "email"}, "",
         "spring-letter", "Email"),
        ("https://www.bing.com/", {"utm_medium": "cpc"}, "", "Bing", "Paid Search"),
        ("", {"utm_medium": "affiliate"}, "", None, "Affiliates"),
        ("", {"utm_source": "chatgpt.com"}, "", "ChatGPT", "AI Assistant"),
        ("https://example.com/", {"utm_source": "flyer"}, "", "flyer", "Unassigned"),
    ],
)  # fmt: skip
def test_it_tells_where_a_visitor_came_from(
    referrer: str, utm: dict[str, str], click_id: str, source: str | None, channel: str | None
) -> None:
    click = find_click({click_id: ""})
    assert attribute(referrer_host(referrer), PAGE, *read_tag(utm, click)) == (source, channel)


@pytest.mark.parametrize(
    ("referrer", "kept"),
    [
        ("https://a.example/b?email=x@y.example#z", "https://a.example/b"),
        ("https://a.example/#?x", "https://a.example/"),
        ("", ""),
    ],
)
def test_it_keeps_no_query_of_a_referrer(referrer: str, kept: str) -> None:
    assert kept_referrer(referrer) == kept


@given(st.text(), st.dictionaries(st.sampled_from(["utm_source", "utm_medium"]), st.text()))
def test_it_stands_whatever_is_sent(referrer: str, utm: dict[str, str]) -> None:
    source, _ = attribute(referrer_host(f"https://{referrer}"), PAGE, *read_tag(utm, None))
    assert source is None or 0 < len(source) <= 200
