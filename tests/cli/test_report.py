from tests.report.conftest import make_mined, make_run


def test_a_page_is_made_and_named(hardmine, tmp_path):
    run, out = make_run(tmp_path / "run"), tmp_path / "report.html"
    outcome = hardmine("report", str(run), "--out", str(out))
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == f"Report: {out}"
    assert "<h2>Runs</h2>" in out.read_text()


def test_how_many_examples_there_are_is_chosen(hardmine, tmp_path):
    mined, out = make_mined(tmp_path), tmp_path / "report.html"
    assert hardmine("report", str(mined), "--out", str(out), "--most", "1").code == 0
    assert "Left out" in out.read_text()


def test_what_cannot_be_used_is_one_line(hardmine, tmp_path):
    outcome = hardmine("report", str(tmp_path), "--out", str(tmp_path / "report.html"))
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "nothing to report on" in outcome.err
