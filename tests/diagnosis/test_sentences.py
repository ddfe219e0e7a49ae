import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from hardmine.diagnosis.head_tables import HeadTables, head_tables, pixel_tables
from hardmine.diagnosis.sentences import COMPARISONS, PIXEL_COMPARISONS, PIXEL_RULES, RULES, percent, sentences_of
from hardmine.diagnosis.tally import PixelTally, Tally
from tests.diagnosis.looks import NUM_CLASSES, random_gradients, random_look, random_pixels


def tables(num_images: int = 30, **totals: float) -> HeadTables:
    look = random_look(num_images)
    tally = Tally(NUM_CLASSES, torch.device("cpu"))
    tally.add(look, *random_gradients(look))
    tally.add_labels(torch.zeros_like(look.is_object).long(), look.is_object)
    found = head_tables(tally)
    return replace(found, totals={**found.totals, **totals})


def said_of(found: HeadTables, **others: HeadTables) -> list[str]:
    recipes = {name: {"dense": of} for name, of in {"own": found, **others}.items()}
    return [sentence.text for sentence in sentences_of(recipes, "dense")]


def number_at(place: str, recipes: dict[str, dict[str, HeadTables]]) -> float:
    recipe, head, table, *rest = place.split("/")
    of = recipes[recipe][head]
    if table == "totals":
        return of.totals[rest[0]]
    return next(row[rest[1]] for row in of.tables[table] if row["bin"] == rest[0])


def test_every_number_of_a_sentence_is_where_it_says():
    recipes = {
        "own": {"rpn": tables(), "roi": tables()},
        "other": {"rpn": tables(), "roi": tables(positive_gradient=0)},
    }
    said = list(sentences_of(recipes, "roi"))
    assert len(said) > 8
    assert any(sentence.text.startswith("RPN: ") for sentence in said)
    for sentence in said:
        assert sentence.numbers
        for place, value in sentence.numbers.items():
            assert value == number_at(place, recipes)


def test_the_shares_in_a_sentence_are_its_numbers():
    numbers = {"easy_negative_gradient": 0.93, "hard_negative_gradient": 0.02, "positive_gradient": 0.04}
    said = said_of(tables(**numbers, easy_negatives=0.98))
    assert any(
        "93 % of the classification gradient comes from negatives that score below .1 (98 %" in one for one in said
    )


@pytest.mark.parametrize(
    ("totals", "words"),
    [
        ({"objects_without_positive": 0.3}, "30 % of the"),
        ({"kept_per_image": 5.0}, "counts 5 of"),
        ({"score_iou_rank_correlation": 0.1}, "says little"),
        (
            {"images_without_positive": 3.0, "gradient_without_positive": 0.4},
            "The 3 of 30 images that have no positive",
        ),
        ({"effective_share_weight": 0.5}, "by the weights of the recipe"),
        ({"images_for_half_gradient": 2.0}, "2 of the 30 images make half"),
    ],
)
def test_a_rule_speaks_where_its_condition_holds_and_not_elsewhere(totals, words):
    calm = {
        "objects_without_positive": 0.0,
        "kept_per_image": 1e9,
        "score_iou_rank_correlation": 0.9,
        "images_for_half_gradient": 15.0,
        "images_without_positive": 3.0,
        "gradient_without_positive": 0.1,
        "effective_share_weight": 1.0,
    }
    assert any(words in one for one in said_of(tables(**calm | totals)))
    assert not any(words in one for one in said_of(tables(**calm)))


def row_of(name: str, **values: float) -> dict[str, float | str]:
    return {"bin": name, "count": 10, "positives": 10, "samples": 0.1, "gradient": 0.1, **values}


@pytest.mark.parametrize(
    ("table", "rows", "words"),
    [
        (
            "object_size",
            [row_of("small", objects=10, positives=10), row_of("large", objects=2, positives=40)],
            "A small object has 1.0 positive samples, a large one 20.0.",
        ),
        (
            "class",
            [row_of("a", objects=5, gradient=0.3), row_of("b", objects=5, gradient=0.1), row_of("background")],
            "75 % is of class a, which has 50 % of the objects",
        ),
        (
            "level",
            [row_of("stride 8", gradient=0.9), row_of("stride 16", gradient=0.1)],
            "The level of stride 8 has 10 %",
        ),
    ],
)
def test_rules_on_rows(table, rows, words):
    found = tables(objects=10, positive_gradient=0.4)
    assert any(words in one for one in said_of(replace(found, tables={**found.tables, table: rows})))
    even = [row | {"positives": 10, "objects": 5, "gradient": 0.1} for row in rows]
    assert not any(words in one for one in said_of(replace(found, tables={**found.tables, table: even})))


@pytest.mark.parametrize("rule", COMPARISONS, ids=lambda rule: rule.name)
def test_two_recipes_differ_by_what_their_numbers_do(rule):
    of_all = {other.number: 0.5 for other in COMPARISONS}
    before, after = tables(**of_all), tables(**of_all | {rule.number: 0.9})
    said = said_of(before, focal=after)[len(said_of(before)) :]
    assert len(said) == 1
    assert "50 %" in said[0]
    assert "90 %" in said[0]
    assert "focal" in said[0]
    assert "pulls at the same samples" in said_of(before, focal=before)[-1]


def test_errors_of_a_run_are_said_last():
    kinds = {"background": 0.6, "missed": 0.2, "badly_located": 0.1, "confusion": 0.1, "duplicate": 0.0}
    errors = SimpleNamespace(num_errors=10, threshold=0.4, **kinds)
    recipes = {"own": {"dense": tables()}}
    (*_, last) = sentences_of(recipes, "dense", SimpleNamespace(errors=errors))
    assert last.numbers == {"held_back/errors/threshold": 0.4, "held_back/errors/background": 0.6}
    assert "60 % are predictions on background" in last.text


def test_rules_have_names_of_their_own():
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.0004, "less than 0.1 %"), (0.004, "0.4 %"), (0.25, "25 %"), (0.996, "99.6 %"), (1, "100 %")],
)
def test_shares_in_words(share, words):
    assert re.fullmatch(words, percent(share))


def pixels(**totals: float) -> HeadTables:
    look = random_pixels(20)
    tally = PixelTally(NUM_CLASSES, torch.device("cpu"))
    tally.add(look, (look.label == 1) * look.cross_entropy**9)
    found = pixel_tables(tally, classes=["road", "sky", "car"])
    return replace(found, totals={**found.totals, **totals})


def test_every_rule_of_pixels_has_a_sentence_whose_numbers_are_where_it_says():
    own = pixels(images_for_half_gradient=2)
    others = {name: pixels(**{name: 0.0}) for name in (of.number for of in PIXEL_COMPARISONS)}
    recipes = {"own": {"pixels": own}, **{name: {"pixels": of} for name, of in others.items()}}
    said = list(sentences_of(recipes, "pixels"))
    assert len([of for of in said if all(place.startswith("own/") for place in of.numbers)]) == len(PIXEL_RULES)
    for comparison in PIXEL_COMPARISONS:
        assert any(f"{comparison.number}/pixels/totals/{comparison.number}" in of.numbers for of in said)
    for sentence in said:
        assert "{" not in sentence.text
        for place, value in sentence.numbers.items():
            assert value == number_at(place, recipes)


def test_of_pixels_that_pull_alike_it_says_so():
    recipes = {name: {"pixels": pixels()} for name in ("own", "other")}
    said = [sentence.text for sentence in sentences_of(recipes, "pixels")]
    assert any(one.startswith("On these weights other pulls at the same samples as own") for one in said)


def test_the_shares_of_pixels_in_a_sentence_are_its_numbers():
    found = pixels(contour_samples=0.12, contour_gradient=0.61)
    said = [sentence.text for sentence in sentences_of({"own": {"pixels": found}}, "pixels")]
    assert "Pixels at most 2 away from another label are 12 % of the pixels and make 61 % of the gradient." in said
    assert any(one.startswith("Class sky has most of the gradient: 100") for one in said)
