"""What a seed means."""

from tests.chaos.schedule import FOLDER, POSTGRESQL, S3, SQLITE, draw


def test_it_is_the_same_for_the_same_seed() -> None:
    assert [draw(seed, 8.0) for seed in range(50)] == [draw(seed, 8.0) for seed in range(50)]


def test_it_holds_every_kind_of_fault_within_a_session() -> None:
    schedules = [draw(seed, 8.0) for seed in range(40)]
    kinds = {fault.kind for schedule in schedules for fault in schedule.faults}
    assert kinds == {
        "kill", "stop", "kill point", "cut", "freeze", "deaf", "slow", "redis rewind",
        "redis failover", "redis emptied", "storm", "clock", "s3 500", "s3 deaf", "disk full",
    }  # fmt: skip
    assert {schedule.archive for schedule in schedules} == {S3, FOLDER}
    assert {schedule.remade for schedule in schedules} == {True, False}
    assert any(schedule.rebuild_rewound_s for schedule in schedules)
    assert all(0.5 <= fault.at <= 8.0 for schedule in schedules for fault in schedule.faults)


def test_it_hits_the_database_where_that_is_a_server() -> None:
    def kinds(database: str) -> set[str]:
        schedules = [draw(seed, 8.0, database) for seed in range(40)]
        faults = [fault for schedule in schedules for fault in schedule.faults]
        return {fault.kind for fault in faults if fault.target == "database"}

    assert kinds(POSTGRESQL) == {"kill", "stop", "cut", "freeze", "deaf", "slow"}
    assert kinds(SQLITE) == set()
