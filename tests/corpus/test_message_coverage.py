"""The table of verifier messages knows the formats of the kernels' own sources, and of the lab's images."""

from __future__ import annotations

import message_coverage as coverage
import pytest
from debian_archive import Missing

from conftest import Corpus

pytestmark = pytest.mark.corpus

SHARE = 98.0


@pytest.mark.parametrize(
    "series", [*coverage.SOURCES, *(pytest.param(one, marks=pytest.mark.full) for one in coverage.MORE)]
)
def test_formats_of_a_source_are_known(corpus: Corpus, series: str) -> None:
    try:
        tree = coverage.tree_of(series)
    except Missing as missing:
        pytest.skip(str(missing))
    found = coverage.of_tree(tree, series)
    assert found.formats > 480
    assert found.share >= SHARE, str(found)


@pytest.mark.lab
@pytest.mark.parametrize("series", coverage.IMAGES)
def test_strings_among_the_messages_of_an_image_are_known(series: str) -> None:
    image = coverage.images().get(series)
    if image is None or not image.exists():
        pytest.skip(f"Linux {series} is not prepared: `bpfsmith lab get {series}`")
    found = coverage.of_image(image, series)
    assert found.formats > 350
    assert found.share >= SHARE, str(found)
