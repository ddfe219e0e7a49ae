from pathlib import Path

from hardmine.data.problems import Problem, ProblemLog, errors_first


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


def test_errors_stand_first_and_everything_once():
    error, warning = (Problem(severity, Path("a"), "line 1", "m") for severity in ("error", "warning"))
    assert errors_first([warning, error, warning]) == (error, warning)
