from pathlib import Path

from hardmine.data.problems import Problem, ProblemLog


def test_problem_reads_as_file_record_message():
    assert str(Problem("error", Path("a.txt"), "line 3", "broken")) == "a.txt: line 3: broken"
    assert str(Problem("error", Path("a.txt"), "", "broken")) == "a.txt: broken"


def test_logs_of_several_files_collect_into_one_list():
    first = ProblemLog(Path("a.txt"))
    first.error("line 1", "bad")
    first.within(Path("b.txt")).warning("", "odd")
    assert first.problems == [
        Problem("error", Path("a.txt"), "line 1", "bad"),
        Problem("warning", Path("b.txt"), "", "odd"),
    ]
