"""How the pages look: in a browser, light and dark, on a phone and on a desk; and whether everybody can read them."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from scripts.tests.report.support import DAY, complete, hold, refuse
from scripts.tests.support import Run, Stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --enable-logging=stderr"
PHONE, DESK = 380, 1280
SCHEMES = {"dark": 0, "light": 1}
"""Chromium's numbers of the preferred color schemes."""
STYLES = (resources.files("pipeline_cli.report") / "templates" / "style.css").read_text()

SEEN = """onload = () => {
  const seen = [...document.querySelectorAll('iframe')].map(({contentDocument: page, contentWindow: view}) => {
    const cell = page.querySelector('.data td') || page.body
    return {
      ground: view.getComputedStyle(page.body).backgroundColor, text: page.body.innerText.length,
      width: page.documentElement.scrollWidth, right: cell.getBoundingClientRect().right,
      title: view.getComputedStyle(cell, '::before').content,
    }
  })
  document.body.textContent = JSON.stringify(seen)
}"""
"""Replaces pages, each in a frame of its own, by what a reader sees of them."""

in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium on this machine (apt install chromium)"
)


def look(pages: list[Path], folder: Path, width: int, scheme: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what a browser shows of pages on a screen of a width, and the messages of its console."""
    assert CHROMIUM, "continuous integration needs Chromium: apt-get install chromium"
    frame = '<iframe src="{}" width="{}" height="900" style="border: 0"></iframe>'
    frames = "".join(frame.format(page.as_uri(), width) for page in pages)
    all_pages = folder / "all_pages.html"
    all_pages.write_text(f'<meta name="color-scheme" content="light dark"><body>{frames}<script>{SEEN}</script>')
    flags = f"{FLAGS} --blink-settings=preferredColorScheme={SCHEMES[scheme]} --user-data-dir={folder}/profile"
    command = [CHROMIUM, *flags.split(), "--dump-dom", all_pages.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(folder)})
    (shown,) = re.findall(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    return json.loads(html.unescape(shown)), re.findall(r"CONSOLE.*", done.stderr)


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
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_browser_shows_the_pages_light_and_dark_on_phone_and_desk_without_console_errors(
    pages: list[Path], tmp_path: Path, scheme: str, width: int
) -> None:
    seen, console = look(pages, tmp_path, width, scheme)

    light, dark, _ = palettes()
    ground = (light if scheme == "light" else dark)["page"]
    assert console == []
    for page in seen:
        assert page["ground"] == f"rgb{tuple(bytes.fromhex(ground[1:]))}"
        assert (page["width"], page["text"] > 300) == (width, True)
    # On a phone each value stands beside its column's title.
    assert seen[0]["title"] == ('"State"' if width == PHONE else "none")
    assert seen[0]["right"] <= width


@in_a_browser
@pytest.mark.slow
def test_the_browser_test_notices_console_errors(tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<body><script>console.error('x')</script>")

    assert look([file], tmp_path, PHONE, "light")[1]


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
