"""The page in a real browser: no error, no request, nothing runs, nothing overflows a phone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.page import comparison_page
from selfmoe.reporting.report import write_report

PHONE, DESK = 375, 1200
HOSTILE = (
    "</style></title></svg><script>document.title='owned'</script>"
    "<img src=https://example.invalid/x onerror=\"document.title='owned'\">"
    '"\'><a href="javascript:document.title=1">{{7*7}}{% raw %}'
    "\x1b[31m\u202edesrever\u202c" + "W" * 400
)


@pytest.fixture(scope="module", autouse=True)
def _no_network(browser: Any) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    still = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", still)


Show = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Show:
    """Return what opens a page, all of it unfolded: ``show(page, width=375, dark=True)``."""

    def open_page(page: Path, width: int = DESK, dark: bool = False) -> Any:
        browser.get_log("browser"), browser.get_log("performance")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get(page.as_uri())
        browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        return browser

    return open_page


def requests_of(browser: Any) -> list[str]:
    """Return what the page asked for since it was opened, itself and inline data left out."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("/index.html") for url in urls)
    return [url for url in urls if not url.startswith("data:") and not url.endswith("/index.html")]


def is_quiet(browser: Any) -> None:
    assert browser.get_log("browser") == []
    assert requests_of(browser) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_hostile_text_is_inert_and_fits(tmp_path, fake_run, show, width, dark):
    root = fake_run(tmp_path, domains=(HOSTILE, "b"), text=HOSTILE, base=HOSTILE)
    browser = show(write_report(root), width, dark)
    is_quiet(browser)
    assert browser.title.startswith("Self-specialised experts on </style>")
    found = browser.execute_script(
        "return [document.querySelectorAll('script, img, iframe, [onerror], [onclick]').length,"
        " [...document.querySelectorAll('a')].filter(a => a.protocol != 'file:').length]"
    )
    assert found == [0, 0]
    seen = browser.execute_script("return document.body.innerText")
    assert "{{7*7}}{% raw %}" in seen
    assert "⟨U+001B⟩[31m⟨U+202E⟩desrever⟨U+202C⟩" in seen
    assert overflow(browser) == []


def overflow(browser: Any) -> list[str]:
    """Return what is wider than the window, scrolling boxes and what they hold left out."""
    found: list[str] = browser.execute_script(
        """
        const wide = [];
        if (document.scrollingElement.scrollWidth > innerWidth) wide.push('page');
        for (const e of document.body.querySelectorAll('*'))
          if (!e.closest('.scroll, .run, svg, .skip, .hidden, .mark') &&
              e.getBoundingClientRect().right > innerWidth + 1)
            wide.push(e.tagName + '.' + e.className);
        return wide;
        """
    )
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": (0, 1)},
        {"domains": tuple(f"domain-with-a-rather-long-name-{n}" for n in range(9))},
        {"systems": {"base": "base"}, "lenient": None},
        {"missing": {"specialise/math": "loss is nan\n" + "x" * 300}, "sick": "coding"},
    ],
    ids=["seeds", "nine-domains", "base-only", "failures"],
)
def test_any_run_fits_a_phone(tmp_path, fake_run, show, settings):
    browser = show(write_report(fake_run(tmp_path, **settings)), PHONE)
    is_quiet(browser)
    assert overflow(browser) == []
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('td, th, p, li, span, dt, dd')]"
        ".filter(e => e.innerText).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_comparison_fits_and_can_be_read(tmp_path, show, width, dark):
    results = (Path(__file__).parents[2] / "results" / "compare.json").read_text("utf-8")
    page = tmp_path / "index.html"
    page.write_text(comparison_page(ComparisonResults.model_validate_json(results)), "utf-8")
    browser = show(page, width, dark)
    is_quiet(browser)
    assert overflow(browser) == []
    assert browser.execute_script(CONTRAST) == []


PAPER = "return getComputedStyle(document.body).backgroundColor"


def test_the_switch_changes_the_colours(tmp_path, fake_run, show):
    page = write_report(fake_run(tmp_path))
    dark = show(page, dark=True).execute_script(PAPER)
    browser = show(page)
    light = browser.execute_script(PAPER)
    assert light != dark
    for choice, expected in (("dark", dark), ("light", light), ("auto", light)):
        browser.find_element("css selector", f"label:has(#theme-{choice})").click()
        assert browser.execute_script(PAPER) == expected


CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const known = {};
const colour = text => known[text] ??= (canvas.clearRect(0, 0, 1, 1), canvas.fillStyle = text,
  canvas.fillRect(0, 0, 1, 1), [...canvas.getImageData(0, 0, 1, 1).data]);
const light = c => c.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = e => {
  const layers = [];
  for (; e; e = e.parentElement) layers.push(colour(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((below, c) =>
    below.map((v, i) => v + (c[i] - v) * c[3] / 255), [255, 255, 255]);
};
const poor = [];
for (const e of document.querySelectorAll('td, td span, th, p, li, .t, dd, dt, h2, summary')) {
  if (!e.innerText.trim()) continue;
  const a = light(colour(getComputedStyle(e).color)), b = light(ground(e));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push([e.className, e.innerText.slice(0, 20), ratio.toFixed(2)]);
}
return poor;
"""
"""WCAG 2 contrast of every text with what is behind it; lists what is under 4.5."""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(tmp_path, fake_run, show, dark):
    domains = tuple(f"domain-{number}" for number in range(11))
    page = write_report(fake_run(tmp_path, domains=domains))
    assert show(page, dark=dark).execute_script(CONTRAST) == []
