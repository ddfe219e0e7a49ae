import pytest

from hardmine.cli.names import check_name
from hardmine.errors import ConfigError


def test_nearest_names_or_else_all():
    known = {"ohem": 1, "ohem_mmdet": 2, "focal": 3}
    check_name("recipe", "focal", known)
    with pytest.raises(ConfigError, match=r"^unknown recipe 'ohem_mdet'; did you mean ohem_mmdet or ohem\?$"):
        check_name("recipe", "ohem_mdet", known)
    with pytest.raises(ConfigError, match=r"^unknown recipe 'x'; there are: ohem, ohem_mmdet, focal$"):
        check_name("recipe", "x", known)
    with pytest.raises(ConfigError, match=r"there are: none$"):
        check_name("option", "x", [])
