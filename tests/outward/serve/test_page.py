"""The page in a real browser, on a real server: answers, colours, switches, both themes."""

from __future__ import annotations

import time
from typing import Any

import pytest

PHONE, DESK = 375, 1200


def opened(browser: Any, address: str, width: int = DESK, dark: bool = False) -> None:
    browser.get_log("browser")
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(address)
    until(
        lambda: browser.execute_script("return document.querySelectorAll('#system option').length")
    )


def until(true: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def ask(browser: Any, text: str, **settings: str) -> list[str]:
    """Ask, and return the answers when they are there."""
    for name, value in {"most": "8", **settings}.items():
        browser.execute_script(
            f"const e = document.getElementById('{name}'); e.value = arguments[0];"
            "e.dispatchEvent(new Event('change'))",
            value,
        )
    browser.execute_script(
        "document.getElementById('text').value = arguments[0];"
        "document.getElementById('ask').requestSubmit()",
        text,
    )
    until(
        lambda: browser.execute_script(
            "return document.getElementById('send').textContent == 'Ask'"
        )
    )
    return browser.execute_script(
        "return [...document.querySelectorAll('.turn:last-of-type .run')].map(e => e.textContent)"
    )


def overflow(browser: Any) -> list[str]:
    return browser.execute_script(
        "return [...document.body.querySelectorAll('*')]"
        ".filter(e => !e.closest('.skip, .hidden'))"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.tagName + e.className)"
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_it_fits_and_is_quiet(browser, served, width, dark):
    opened(browser, served, width, dark)
    ask(browser, "x" * 300 + " <img src=x onerror=document.title=1>", beside="demo/base")
    assert browser.get_log("browser") == []
    assert overflow(browser) == []
    assert browser.title == "demo – selfmoe"
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, paper[4:-1].split(","))) < 200 if dark else 600


def test_answers_are_those_of_the_protocol_and_stand_beside_each_other(browser, served):
    httpx = pytest.importorskip("httpx")
    body = {"messages": [{"role": "user", "content": "Name a sea."}], "max_tokens": 8}
    expected = [
        httpx.post(
            f"{served}/v1/chat/completions", json={**body, "temperature": 0, "model": model}
        ).json()["choices"][0]["message"]["content"]
        for model in ("demo/mixse", "demo/base")
    ]
    opened(browser, served)
    assert ask(browser, "Name a sea.", beside="demo/base") == expected


def test_tokens_have_the_colour_of_their_expert_and_show_their_blocks(browser, served):
    opened(browser, served)
    ask(browser, "Name a sea.")
    names = browser.execute_script(
        "return [...document.querySelectorAll('.t')].map(e => [e.className, e.title])"
    )
    experts = ["anything", "whatever"]
    assert len(names) > 2
    assert all(title == "" or cls == f"t e{experts.index(title)}" for cls, title in names)
    assert any(title for _, title in names)
    browser.execute_script(
        "document.querySelector('.t').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    shown = browser.execute_script("return document.getElementById('blocks').innerText")
    assert "by block" in shown
    assert "0: " in shown and "1: " in shown


def test_switched_off_experts_leave_the_base(browser, served):
    opened(browser, served)
    one, other = ask(browser, "Say where the herons are.", beside="demo/base")
    assert one != other
    browser.execute_script("document.querySelectorAll('#experts input').forEach(e => e.click())")
    one, other = ask(browser, "Say where the herons are.", beside="demo/base")
    assert one == other


def test_what_fails_is_said(browser, serve):
    with serve(key="secret") as address:
        browser.get(address)
        until(lambda: browser.execute_script("return document.querySelector('.failed')"))
        assert "API key" in browser.find_element("css selector", ".failed").text
        assert browser.find_element("id", "key").is_displayed()
        browser.execute_script(
            "const k = document.getElementById('key'); k.value = 'secret';"
            "k.dispatchEvent(new Event('change'))"
        )
        until(lambda: browser.execute_script("return document.querySelector('#system option')"))
        assert ask(browser, "Name a sea.")[0]
        assert "demo/nosuch" not in ask(browser, "Name a sea.", most="99999")[0]
        assert "are read at the most" in browser.find_elements("css selector", ".failed")[-1].text
