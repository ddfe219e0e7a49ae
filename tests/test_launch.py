"""What a process knows of those that were started with it."""

from hardmine.launch import is_first, num_started, rank


def test_a_process_alone_is_the_first_of_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (num_started(), rank(), is_first()) == (1, 0, True)


def test_a_process_of_several_is_told_which(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    assert (num_started(), rank(), is_first()) == (3, 2, False)
