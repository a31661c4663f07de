from bench.enrichment.report import report
from bench.enrichment.sides import COLD, WARM, Sides
from bench.enrichment.visits import visits


def test_it_measures_every_step_and_reports_it() -> None:
    sides = Sides(visits(500))
    found = {name: [sides.measure(name)] for name in sides.names()}
    assert all(runs[0]["µs an event"] > 0 for runs in found.values())
    # What was met before costs less than what is new.
    assert found[WARM][0]["µs an event"] < found[COLD][0]["µs an event"]
    text = report(found, 500, 1)
    assert all(f"| {name} |" in text for name in found)


def test_its_visits_are_the_same_each_time() -> None:
    assert visits(50) == visits(50)
