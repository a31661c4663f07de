import pytest

from processing.gaps import GapFound, Gaps


def test_it_lets_through_what_is_whole() -> None:
    gaps = Gaps()
    gaps.check(0, 5, [5, 6, 7])
    gaps.check(0, 8, [8])
    # Another shard is further behind: what it counted is read again.
    gaps.check(0, 8, [6, 7, 8])


@pytest.mark.parametrize(
    ("offsets", "first", "last"), [([7, 8], 5, 6), ([5, 8], 6, 7), ([5, 7, 8, 10], 6, 6)]
)
def test_it_believes_a_gap_when_it_is_seen_again(offsets: list[int], first: int, last: int) -> None:
    gaps = Gaps()
    with pytest.raises(GapFound, match=f"offsets {first} to {last} were not read"):
        gaps.check(1, 5, offsets)
    gaps.check(1, 5, offsets)


def test_it_believes_no_other_gap() -> None:
    gaps = Gaps()
    with pytest.raises(GapFound):
        gaps.check(0, 5, [6, 7])
    with pytest.raises(GapFound):
        gaps.check(0, 5, [7, 8])
    with pytest.raises(GapFound):
        gaps.check(1, 5, [7, 8])
