import logging

from hardmine.data.telling import say_once


def test_a_message_is_said_the_first_time_only_at_its_level(caplog):
    with caplog.at_level(logging.INFO, "hardmine"):
        for message in ("this test: a", "this test: a", "this test: b"):
            say_once(message)
        say_once("this test: c", logging.INFO)
    assert caplog.messages == ["this test: a", "this test: b", "this test: c"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING, logging.INFO]
