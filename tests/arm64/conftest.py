"""The images' root file systems, for this machine and for a Pi."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import image_root
from tests.support.cluster import emulation, images

Root = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Unpack the image of a name for an architecture."""
    emulation.require("arm64")
    folder = tmp_path_factory.mktemp("roots")

    def unpacked(name: str, architecture: str) -> Path:
        target = folder / f"{name}-{architecture}"
        return image_root.unpack(images.project(name, architecture), target)

    return unpacked
