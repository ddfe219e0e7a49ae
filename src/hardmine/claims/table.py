"""All claims, in the order in which they are checked: first those whose trainings others share."""

from collections.abc import Sequence

from hardmine.claims import (
    ap_view,
    assignment,
    costs,
    dense_heads,
    label_noise,
    offline_mining,
    proposals,
)
from hardmine.claims.claim import Claim
from hardmine.errors import check_name

__all__ = ["CLAIMS", "claims_called"]

CLAIMS: tuple[Claim, ...] = (
    *costs.CLAIMS[:2],
    *offline_mining.CLAIMS,
    *proposals.CLAIMS,
    *dense_heads.CLAIMS,
    *costs.CLAIMS[2:],
    *ap_view.CLAIMS,
    *label_noise.CLAIMS,
    *assignment.CLAIMS,
)


def claims_called(names: Sequence[str]) -> tuple[Claim, ...]:
    """Those of these names or ids, in the order of the table; all of them where there is no name.

    Raises: ConfigError: a name or id that no claim has.
    """
    known = {name for claim in CLAIMS for name in (claim.slug, *claim.ids)}
    for name in names:
        check_name("claim", name, sorted(known))
    return tuple(claim for claim in CLAIMS if not names or {claim.slug, *claim.ids} & set(names))
