"""How often each augmentation is made, as text: "paste=.5,distractors=.5,crop=.1,mosaic=.1"."""

from hardmine.errors import ConfigError

__all__ = ["AUGMENT", "KINDS", "parse_chances"]

KINDS = ("paste", "distractors", "crop", "mosaic")
"""Hard objects pasted, hard backgrounds pasted, an image replaced by a crop, an image replaced by a mosaic."""
AUGMENT = "paste=.5,distractors=.5"
"""What is made where nothing else is asked for."""


def parse_chances(text: str) -> dict[str, float]:
    """The probability of each kind, 0 where it is not named.

    Raises: ConfigError: it is no such text, a kind is unknown or there twice, or the numbers are no probabilities; a
        crop and a mosaic both replace the image, so theirs are at most 1 together.
    """
    chances: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in KINDS or name in chances:
            raise _no_chances(text)
        try:
            chances[name] = float(number)
        except ValueError as error:
            raise _no_chances(text) from error
    chances = {kind: chances.get(kind, 0.0) for kind in KINDS}
    is_one = all(0 <= chance <= 1 for chance in chances.values())
    if not is_one or chances["crop"] + chances["mosaic"] > 1 or not any(chances.values()):
        raise _no_chances(text)
    return chances


def _no_chances(text: str) -> ConfigError:
    return ConfigError(
        f"augment is {text!r}, expected probabilities such as {AUGMENT}: each kind once, of {', '.join(KINDS)}, from 0 "
        "to 1 and not all 0; crop and mosaic at most 1 together"
    )
