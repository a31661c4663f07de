import pytest
from django.core.exceptions import ImproperlyConfigured

from tracker_site.environment import Environment


def environment(**values: str) -> Environment:
    return Environment(values, {})


@pytest.mark.parametrize("value", ["1", "true", "True", "YES", "on"])
def test_a_flag_is_true(value: str) -> None:
    assert environment(HTTPS=value).flag("HTTPS", False) is True


@pytest.mark.parametrize("value", ["0", "false", "FALSE", "no", "off"])
def test_a_flag_is_false(value: str) -> None:
    assert environment(HTTPS=value).flag("HTTPS", True) is False


@pytest.mark.parametrize("value", ["maybe", "2", " true", "truee"])
def test_it_refuses_a_flag_that_is_neither(value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        environment(HTTPS=value).flag("HTTPS", False)
    assert f"The environment variable HTTPS is {value!r}; it must be true or false." in str(
        error.value
    )


@pytest.mark.parametrize(("value", "number"), [("1", 1), ("15", 15), (" 7 ", 7)])
def test_it_reads_a_number_within_its_bounds(value: str, number: int) -> None:
    assert environment(COPIES=value).number("COPIES", 3, least=1, most=15) == number


@pytest.mark.parametrize("value", ["0", "16", "-1", "1.5", "three", "1e3", "0x1"])
def test_it_refuses_a_number_beyond_them_and_what_is_none(value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        environment(COPIES=value).number("COPIES", 3, least=1, most=15)
    assert f"COPIES is {value!r}; it must be a whole number from 1 to 15." in str(error.value)


def test_it_refuses_what_is_no_choice() -> None:
    assert environment(LOG="text").choice("LOG", "json", ["json", "text"]) == "text"
    with pytest.raises(ImproperlyConfigured, match="LOG is 'Text'; it must be one of json, text"):
        environment(LOG="Text").choice("LOG", "json", ["json", "text"])


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Correct it or unset it .*README\.md"):
        environment(COPIES="x").number("COPIES", 3)


@pytest.mark.parametrize(
    ("value", "words"), [("a", ["a"]), ("a, b ,,c,", ["a", "b", "c"]), (" , ", [])]
)
def test_it_reads_words(value: str, words: list[str]) -> None:
    assert environment(HOSTS=value).words("HOSTS", "x,y") == words


def test_an_empty_value_is_the_default() -> None:
    empty = environment(HOSTS="", COPIES="", HTTPS="", NAME="")
    assert empty.words("HOSTS", "x,y") == ["x", "y"]
    assert empty.number("COPIES", 3) == 3
    assert empty.flag("HTTPS", True) is True
    assert empty.text("NAME", "n") == "n"


def test_the_process_comes_before_the_running_stack_before_the_default() -> None:
    both = Environment({"A": "process", "B": ""}, {"A": "stack", "B": "stack"})
    assert [both.text(name, "default") for name in "ABC"] == ["process", "stack", "default"]


def test_it_lists_what_was_asked_for() -> None:
    asked = environment()
    asked.text("A", "")
    asked.number("B", 1)
    assert asked.declared == ["A", "B"]
