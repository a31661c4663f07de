from bench.count_protocol.at_least_once import writes_of_apply


def test_the_peer_s_script_has_nothing_of_the_protocol() -> None:
    script = writes_of_apply()
    for number in range(1, 6):
        assert f"KEYS[{number}]" not in script
    assert "SMISMEMBER" not in script
    assert "HINCRBY" in script
    assert "PFADD" in script
