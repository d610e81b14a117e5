"""How the pages look: in a browser, light and dark, on a phone and on a desk; and whether everybody can read them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from scripts.tests.report.browser import CHROMIUM, Tab, browser
from scripts.tests.report.support import DAY, complete, hold, refuse
from scripts.tests.support import Run, Stack

PHONE, DESK = 380, 1280
STYLES = (resources.files("pipeline_cli.report") / "templates" / "style.css").read_text()

in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium on this machine (apt install chromium)"
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    assert CHROMIUM, "continuous integration needs Chromium: apt-get install chromium"
    with browser(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def tab(opened: Tab) -> Tab:
    opened.console_errors.clear()
    return opened


@pytest.fixture
def pages(stack: Stack, run: Run, tmp_path: Path) -> list[Path]:
    """The page of all days, of a completed, a refused and a held one."""
    complete(stack, records=60)
    complete(stack, "20220130", records=30)
    refuse(stack, "20220129")
    hold(stack, "20220128")
    home = tmp_path / "pages" / "report.html"
    home.parent.mkdir()
    assert run("report", "--all", "--out", str(home)).exit_code == 0
    return [home, *(home.with_name(f"report_{day}.html") for day in (DAY, "20220129", "20220128"))]


@in_a_browser
@pytest.mark.slow
def test_a_browser_shows_the_pages_light_and_dark_on_phone_and_desk_without_console_errors(
    pages: list[Path], tab: Tab, tmp_path: Path
) -> None:
    for page in pages:
        for scheme, ground in (("light", range(240, 256)), ("dark", range(40))):
            for width in (PHONE, DESK):
                tab.open(page, width, scheme)
                with Image.open(tab.screenshot(tmp_path / f"{page.stem}-{scheme}-{width}.png")) as taken:
                    image = taken.convert("L")
                assert image.getpixel((2, 2)) in ground
                # Text, bars and lines on the background, not an empty page.
                assert sum(count for count, shade in image.getcolors() or () if shade not in ground) > 5_000
                assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.console_errors == []


@in_a_browser
@pytest.mark.slow
def test_on_a_phone_each_value_stands_beside_its_columns_title(pages: list[Path], tab: Tab) -> None:
    tab.open(pages[0], PHONE, "light")
    title = "getComputedStyle(document.querySelector('.data td'), '::before').content"
    assert tab.evaluate(title) == '"State"'
    assert tab.evaluate("document.querySelector('.data td').getBoundingClientRect().right") <= PHONE
    tab.open(pages[0], DESK, "light")
    assert tab.evaluate(title) == "none"


@in_a_browser
@pytest.mark.slow
def test_the_browser_test_notices_console_errors(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<script>console.error('x')</script>")
    tab.open(file, PHONE, "light")
    assert tab.console_errors


def palettes() -> list[dict[str, str]]:
    """The colors of the light page, the dark page and of paper."""
    return [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLES, re.DOTALL)
    ]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colors (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """The relative luminance of a color in sRGB (WCAG 2.2, definition of relative luminance)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark", "paper"])
@pytest.mark.parametrize("ground", ["page", "card"])
def test_every_text_and_bar_has_enough_contrast(palette: dict[str, str], ground: str) -> None:
    for ink in ("ink", "soft", "accent", "good", "bad", "warn"):
        assert contrast(palette[ink], palette[ground]) >= 4.5, ink  # WCAG 2.2, level AA, criterion 1.4.3
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert contrast("#999999", "#ffffff") < 4.5
