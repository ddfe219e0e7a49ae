"""Which frameworks' detectors are adapted, and what stands for each: looked up by name, imported when it is needed."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from packaging.specifiers import SpecifierSet

from hardmine.errors import ConfigError, FrameworkError, check_name

__all__ = ["FRAMEWORKS", "Framework", "framework_of", "split_name"]


@dataclass(frozen=True, slots=True)
class Framework:
    """A package with detectors.

    package: its name, which is the first part of its models' modules.  folder: of its adapters, below `detectors/`.
    tested: the versions that the adapters were tried with.
    extra: of ours that installs it; None: it is always there.
    matches_sets: its detectors match queries to objects one to one, with attention between them (DETR and its kin).
    """

    package: str
    tested: SpecifierSet
    extra: str | None = None
    matches_sets: bool = False

    def adapters(self) -> ModuleType:
        """What adapts its detectors.

        Raises: ConfigError: it is not installed.  FrameworkError: it is, in a version that was not tried.
        """
        try:
            installed = version(self.package)
        except PackageNotFoundError as error:
            raise ConfigError(f"{self.package} is not installed: pip install 'hardmine[{self.extra}]'") from error
        if not self.tested.contains(installed, prereleases=True):
            raise FrameworkError(
                f"{self.package} {installed} is not among the versions that its losses were compared with "
                f"({self.tested}); install one of these: pip install '{self.package}{self.tested}'"
            )
        return import_module(f"hardmine.detectors.{self.package}")


FRAMEWORKS = {
    framework.package: framework
    for framework in (
        Framework("torchvision", SpecifierSet(">=0.26")),
        Framework("ultralytics", SpecifierSet(">=8.4.150,<8.5"), "ultralytics"),
        Framework("transformers", SpecifierSet(">=5.24,<6"), "transformers", matches_sets=True),
        Framework("rfdetr", SpecifierSet(">=1.11.2,<2"), "rfdetr", matches_sets=True),
    )
}


def split_name(detector: str) -> tuple[str, str]:
    """The framework and the name in it of "ultralytics:yolo11n"; a name alone is torchvision's.

    Raises: ConfigError: no such framework.
    """
    framework, colon, name = detector.partition(":")
    if not colon:
        return "torchvision", detector
    check_name("framework", framework, FRAMEWORKS)
    return framework, name


def framework_of(model: Any) -> Framework:
    """Of which framework a model is, or the class that it is derived from.

    Raises: ConfigError: of none that is adapted.
    """
    for kind in type(model).__mro__:
        if framework := FRAMEWORKS.get(kind.__module__.partition(".")[0]):
            return framework
    raise ConfigError(
        f"got {type(model).__module__}.{type(model).__name__}; expected a detector of {', '.join(FRAMEWORKS)}"
    )
