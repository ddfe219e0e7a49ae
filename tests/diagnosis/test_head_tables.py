import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from hardmine.diagnosis.head_tables import SHARES, head_tables, pixel_tables
from hardmine.diagnosis.look import IGNORED, NEGATIVE, POSITIVE
from hardmine.diagnosis.tally import PixelTally, Tally
from tests.diagnosis.looks import (
    NUM_CLASSES,
    random_gradients,
    random_look,
    random_pixels,
    sums_by_loop,
    sums_of_pixels,
)

LOOK = random_look()
GRADIENT, BOX = random_gradients(LOOK)
NUM_SAMPLES = int((LOOK.kind < IGNORED).sum())


def tables_of(look=LOOK, gradient=GRADIENT, box=BOX, **named):
    tally = Tally(NUM_CLASSES, torch.device("cpu"))
    tally.add(look, gradient, box)
    return head_tables(tally, **named)


@pytest.mark.parametrize("name", ["iou", "score", "object_size", "class", "level"])
def test_rows_are_those_of_a_loop_over_the_samples(name):
    rows = {row["bin"]: row for row in tables_of().tables[name]}
    expected = sums_by_loop(name, LOOK, GRADIENT)
    whole = {of: sum(sums[of] for sums in expected.values()) for of in ("count", "loss", "weight", "gradient")}
    assert {row["bin"] for row in rows.values() if row["count"]} == set(expected)
    for bin_name, sums in expected.items():
        row = rows[bin_name]
        assert (row["count"], row["positives"]) == (sums["count"], sums["positives"])
        assert row["samples"] == pytest.approx(sums["count"] / whole["count"])
        for of in ("loss", "weight", "gradient"):
            assert row[of] == pytest.approx(sums[of] / whole[of], rel=1e-5)


def test_every_table_is_of_all_samples_and_its_shares_are_of_all():
    found = tables_of()
    assert set(found.tables) == {"kind", "iou", "object_size", "class", "score", "loss_decile", "level", "image"}
    for name, rows in found.tables.items():
        ignored = sum(row["count"] for row in rows if row["bin"] == "ignored")
        assert sum(row["count"] for row in rows) - ignored == NUM_SAMPLES == found.totals["samples"], name
        for of in SHARES:
            assert sum(row[of] for row in rows) == pytest.approx(1), (name, of)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_totals_are_what_the_samples_say():
    totals = tables_of().totals
    is_negative = LOOK.kind == NEGATIVE
    score, gradient = LOOK.score, GRADIENT.double()
    whole = gradient.sum()
    assert totals["positives"] == int((LOOK.kind == POSITIVE).sum())
    assert totals["ignored"] == int((LOOK.kind == IGNORED).sum())
    assert totals["ignored_per_image"] == totals["ignored"] / 4
    assert totals["easy_negative_gradient"] == pytest.approx(float(gradient[is_negative & (score < 0.1)].sum() / whole))
    assert totals["hard_negative_gradient"] == pytest.approx(float(gradient[is_negative & (score > 0.5)].sum() / whole))
    assert totals["positive_gradient"] + totals["negative_gradient"] == pytest.approx(1)
    is_sample = LOOK.kind < IGNORED
    for name, of in (("gradient", gradient[is_sample]), ("weight", LOOK.weight[is_sample].double())):
        assert totals[f"effective_samples_{name}"] == pytest.approx(float(of.sum() ** 2 / of.square().sum()))
    assert totals["classification_loss"] == pytest.approx(float(LOOK.loss[is_sample].sum()), rel=1e-5)


def test_tenths_are_of_the_order_of_cross_entropy():
    """The fine histogram errs by the samples of a bin, which is 4 % wide."""
    look = random_look(num_samples=2000)
    gradient, box = random_gradients(look)
    rows = tables_of(look, gradient, box).tables["loss_decile"]
    is_sample = look.kind < IGNORED
    order = look.cross_entropy[is_sample].argsort()
    pulls = gradient[is_sample][order].double()
    for row, part in zip(rows, np.array_split(pulls.numpy(), 10), strict=True):
        assert row["count"] == pytest.approx(len(part), abs=1)
        assert row["gradient"] == pytest.approx(part.sum() / float(pulls.sum()), rel=0.1)


def test_equal_losses_are_dealt_out_evenly():
    """Where all samples are alike, as of a detector that has learnt nothing, no tenth is before another."""
    tally = Tally(NUM_CLASSES, torch.device("cpu"))
    tally.sums["iou"][:2, 0] = 50.0
    tally.sums["loss_decile"][:2, 7] = 50.0
    rows = head_tables(tally).tables["loss_decile"]
    assert [row["count"] for row in rows] == [10] * 10
    assert [row["gradient"] for row in rows] == pytest.approx([0.1] * 10)


def test_ranks_agree_as_scipy_s_do():
    look = random_look(num_samples=1000)
    totals = tables_of(look, *random_gradients(look)).totals
    is_positive = look.kind == POSITIVE
    score, iou = look.own_score[is_positive], look.box_iou[is_positive]
    assert totals["score_iou_rank_correlation"] == pytest.approx(spearmanr(score, iou).statistic, abs=0.01)
    assert totals["score_iou_correlation"] == pytest.approx(float(torch.corrcoef(torch.stack([score, iou]))[0, 1]))


def test_of_few_positives_no_correlation_is_asked():
    look = random_look(num_samples=5)
    assert "score_iou_correlation" not in tables_of(look, *random_gradients(look)).totals


def test_images_have_names_and_half_of_the_gradient_is_of_the_richest():
    look = random_look(num_images=40)
    gradient = torch.ones_like(look.iou) * (look.kind < IGNORED)
    gradient[3] *= 1e3
    found = tables_of(look, gradient, gradient, images=[f"{k}.jpg" for k in range(40)])
    rows = found.tables["image"]
    assert (rows[0]["bin"], rows[-1]["bin"], len(rows)) == ("3.jpg", "30 others", 11)
    assert found.totals["images_for_half_gradient"] < 1
    assert found.totals["image_gradient_highest"] == pytest.approx(rows[0]["gradient"])
    assert found.totals["image_gradient_lowest"] <= found.totals["image_gradient_median"]


def test_classes_have_their_names_and_a_listwise_loss_has_no_shares():
    assert [row["bin"] for row in tables_of(classes=["a", "b"]).tables["class"]] == ["a", "b", "2", "background"]
    tally = Tally(NUM_CLASSES, torch.device("cpu"))
    tally.has_loss = tally.has_box = False
    row = head_tables(tally).tables["iou"][0]
    assert row["loss"] is row["box_gradient"] is None
    assert "classification_loss" not in head_tables(tally).totals


PIXELS = random_pixels()
PULLS = torch.rand(PIXELS.kind.shape, generator=torch.Generator().manual_seed(0)).square() * (PIXELS.kind == POSITIVE)


def pixels(**named):
    tally = PixelTally(NUM_CLASSES, torch.device("cpu"))
    tally.add(PIXELS, PULLS)
    return pixel_tables(tally, **named)


@pytest.mark.parametrize("name", ["class", "contour_distance", "score"])
def test_rows_of_pixels_are_those_of_a_loop(name):
    rows = {row["bin"]: row for row in pixels().tables[name]}
    expected = sums_of_pixels(name, PIXELS, PULLS)
    assert {row["bin"] for row in rows.values() if row["count"]} == set(expected)
    for bin_name, sums in expected.items():
        assert rows[bin_name]["count"] == sums["count"]
        for of in ("loss", "weight", "gradient"):
            whole = sum(others[of] for others in expected.values())
            assert rows[bin_name][of] == pytest.approx(sums[of] / whole, rel=1e-5)


def test_every_table_of_pixels_is_of_all_that_are_labelled():
    found = pixels(classes=["road", "sky"], images=["a", "b"])
    assert set(found.tables) == {"kind", "class", "contour_distance", "score", "loss_decile", "image"}
    num = int((PIXELS.kind == POSITIVE).sum())
    for name, rows in found.tables.items():
        ignored = sum(row["count"] for row in rows if row["bin"] == "ignored")
        assert sum(row["count"] for row in rows) - ignored == num == found.totals["samples"], name
        for of in SHARES:
            assert sum(row[of] for row in rows) == pytest.approx(1), (name, of)
        assert not {"positives", "negative_gradient", "box_gradient"} & set(rows[0])
    assert [row["bin"] for row in found.tables["class"]] == ["road", "sky", "2"]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_totals_of_pixels_are_what_they_say():
    totals, whole = pixels().totals, PULLS.double().sum()
    is_labelled = PIXELS.kind == POSITIVE
    for name, is_such in (
        ("hard", PIXELS.score < 0.5),
        ("easy", PIXELS.score >= 0.9),
        ("contour", PIXELS.contour < 2),
    ):
        chosen = is_such & is_labelled
        assert totals[f"{name}_gradient"] == pytest.approx(float(PULLS[chosen].double().sum() / whole), rel=1e-5)
        assert totals[f"{name}_samples"] == pytest.approx(float(chosen.sum() / is_labelled.sum()))
    assert totals["ignored_share"] == pytest.approx(float((~is_labelled).double().mean()))
    assert totals["kept"] == int((PIXELS.weight > 0).sum())
    assert totals["effective_samples_gradient"] == pytest.approx(float(whole**2 / PULLS.double().square().sum()))


def test_a_loss_over_all_pixels_has_no_shares():
    tally = PixelTally(NUM_CLASSES, torch.device("cpu"))
    tally.add(replace(PIXELS, loss=None), PULLS)
    found = pixel_tables(tally)
    assert {row["loss"] for row in found.tables["class"]} == {None}
    assert "classification_loss" not in found.totals
