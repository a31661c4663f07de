import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.path import read_path_rules

RULES = """
lower-case
keep-query page q
/user/*/edit -> /user/:id/edit
/shop/** -> /shop
/a/b -> /c
"""


@pytest.mark.parametrize(
    ("rules", "path", "query", "normalised"),
    [
        ("", "/", "", "/"),
        ("", "/about/", "", "/about/"),
        ("drop-slash", "///", "", "/"),
        ("", "/About", "page=2", "/About"),
        ("drop-slash", "/about/", "", "/about"),
        ("lower-case", "/About/", "", "/about/"),
        ("keep-query page", "/list", "page=2&x=1", "/list?page=2"),
        ("keep-query a b", "/list", "b=2&a=1", "/list?a=1&b=2"),
        ("keep-query page", "/list", "x=1", "/list"),
        ("keep-query page", "/list", "page=" + "x" * 3_000, "/list"),
        (RULES, "/User/17/Edit", "", "/user/:id/edit"),
        (RULES, "/user/17/view", "", "/user/17/view"),
        (RULES, "/shop/a/b/c", "q=x", "/shop?q=x"),
        (RULES, "/shop", "", "/shop"),
        (RULES, "/a/b", "", "/c"),
        (RULES, "/a/b/c", "", "/a/b/c"),
    ],
)  # fmt: skip
def test_it_makes_one_path_of_a_page(rules: str, path: str, query: str, normalised: str) -> None:
    assert read_path_rules(rules).normalise(path, query) == normalised


@pytest.mark.parametrize(
    "rule",
    ["uppercase", "lower-case x", "keep-query", "a -> /b", "/a -> b", "/**/a -> /b", "/a\n" * 101],
)
def test_it_names_the_rule_that_is_none(rule: str) -> None:
    with pytest.raises(ValueError, match=r"no rule|begin with|last segment|too many"):
        read_path_rules(rule)


@given(st.text(max_size=2_048), st.text(max_size=300))
def test_whatever_is_sent_is_a_path_that_a_message_may_hold(path: str, query: str) -> None:
    for rules in ("", RULES, "lower-case\ndrop-slash\nkeep-query a b c"):
        normalised = read_path_rules(rules).normalise(f"/{path}"[:2_048], query)
        assert normalised.startswith("/")
        assert len(normalised) <= 2_048
