from bench.count.live import latencies_ms


def test_an_event_takes_until_the_first_look_that_finds_it_counted() -> None:
    acknowledged = [1.0, 1.001, 1.002]
    looks = [(0, 0.0), (1, 1.010), (3, 1.030)]
    assert [round(ms) for ms in latencies_ms(acknowledged, looks)] == [10, 29, 28]
