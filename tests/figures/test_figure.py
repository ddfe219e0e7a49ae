from hardmine.figures import Figure, Panel, Series

PANEL = Panel("a", "x", "y", [Series("s", [0, 1], [1, 2])])


def test_figures_stand_beside_and_above_each_other():
    one, two = Figure("one", [PANEL], "first"), Figure("two", [PANEL, PANEL], "second")
    assert [len(row) for row in one.beside(two).rows] == [3]
    stacked = one.beside(one).above(two)
    assert [len(row) for row in stacked.rows] == [2, 2]
    assert [len(row) for row in stacked.above(one).rows] == [2, 2, 1]
    assert (stacked.title, stacked.note) == ("one", "first first second")


def test_a_figure_without_panels_leaves_no_empty_row():
    assert [len(row) for row in Figure("empty", []).above(Figure("other", [PANEL])).rows] == [1]
