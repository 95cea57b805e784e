"""Issue 7 acceptance 4: the dashboard of a running app of two workers, in a real Chromium."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from tests.support.ports import free_port
from tests.support.processes import PythonProcess, start_python

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NODES = {
    "task:customers",
    "topic:orders",
    "topic:invoices",
    "topic:alerts",
    "topic:tests.support.shop.count_products-orders-Order.product-repartition",
    "agent:tests.support.shop.bill",
    "agent:tests.support.shop.count_products",
    "agent:tests.support.shop.watch",
    "agent:tests.support.shop.ring",
    "table:totals",
    "table:products",
    "table:per-minute",
}


@pytest.fixture
def chromium() -> str:
    """The program; CI fails without it, a laptop skips."""
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if found is None:
        words = "needs a Chromium (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return found


class Shop:
    """Two workers of the shop."""

    def __init__(self, directory: Path) -> None:
        self.ports = (free_port(), free_port())
        self.urls = tuple(f"http://127.0.0.1:{port}" for port in self.ports)
        self.workers: list[PythonProcess] = [
            start_python(
                None,
                str(directory),
                str(port),
                module="tests.support.shop",
                env={"SHOP_ORDERS": "1"} if port == self.ports[0] else {},
            )
            for port in self.ports
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The workers, killed in the end."""
    running = Shop(tmp_path)
    yield running
    for worker in running.workers:
        worker.kill()


class Watched:
    """A page, and what it has done: its requests, and what it has complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[Watched]:
    """Open the index of a worker as people do, and wait for the dashboard's figures."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    deadline = time.monotonic() + 30
    while True:
        try:
            await page.request.get(f"{url}/health/live")
            break
        except Exception:
            assert time.monotonic() < deadline, "the worker does not listen"
            await asyncio.sleep(0.1)
    watched = Watched(page)
    await page.goto(url)
    await page.wait_for_selector(".pill[data-state=ready]", timeout=30000)
    yield watched
    await context.close()


async def until(page: Page, condition: str, argument: Any = None) -> None:
    """Wait until an expression, or a function of *argument*, is true in the page (whose policy forbids to wait there)."""
    deadline = time.monotonic() + 20
    while not await page.evaluate(condition, argument):
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.05)


async def number(page: Page, selector: str) -> float:
    """Read a number off the page."""
    return float((await page.inner_text(selector)).replace(",", ""))


async def accessible(page: Page) -> list[str]:
    """Return what axe-core objects to: WCAG 2.2 A and AA, and its best practices."""
    found = await Axe().run(page)
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]


async def test_dashboard(chromium: str, shop: Shop, tmp_path: Path) -> None:
    """The graph has everything, numbers move, a killed worker shows within 15 s; no complaint, no foreign request."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        async with opened(browser, f"{shop.urls[0]}/", color_scheme="light") as watched:
            page = watched.page
            assert page.url == f"{shop.urls[0]}/dashboard/"
            for url in shop.urls:
                await page.wait_for_selector(
                    f".worker[data-url='{url}'][data-state=ready]", timeout=30000
                )
            await everything_is_shown(page)
            await numbers_move(page)
            await keyboard_works(page)
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await page.wait_for_selector(f":root[data-theme={scheme}]")
                await asyncio.sleep(0.3)  # colours fade
                assert await accessible(page) == [], scheme
            await page.set_viewport_size({"width": 390, "height": 844})
            await asyncio.sleep(0.3)
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await page.evaluate(wide) == 0, "the page is wider than a phone"
            assert await accessible(page) == [], "phone"
            await a_killed_worker_shows(page, shop)
            assert watched.complaints == []
            assert {url.split("/dashboard/")[0].rstrip("/") for url in watched.requests} == {
                shop.urls[0]
            }
        await browser.close()


async def everything_is_shown(page: Page) -> None:
    """Every topic, agent, table and task is in the graph, and every partition in the table."""
    await until(page, f"document.querySelectorAll('.node').length >= {len(NODES)}")
    shown = await page.eval_on_selector_all(".node", "all => all.map(one => one.dataset.id)")
    assert set(shown) == NODES
    assert await page.locator(".edge").count() == 12
    topics = await page.eval_on_selector_all(".fold", "all => all.map(one => one.title)")
    assert {f"topic:{topic}" for topic in topics} == {
        node for node in NODES if node.startswith("topic:")
    }
    await until(page, "document.querySelectorAll('tr.part').length === 16")
    assert await page.locator("#tables .card").count() == 3


async def numbers_move(page: Page) -> None:
    """Events flow, and the page shows it by itself."""
    await until(page, "document.querySelectorAll('.pulse.on').length >= 5")
    total = "#head-events span"
    first = await page.inner_text(total)
    more = await page.inner_text("#heads .head .more")
    await until(
        page, "before => document.querySelector('#heads .head .more').textContent !== before", more
    )
    assert first
    lag = await number(page, "#head-lag span")
    assert lag >= 0


async def keyboard_works(page: Page) -> None:
    """All that can be clicked can be reached and used with the keys."""
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.focus(".node[data-id='topic:orders']")
    await page.keyboard.press("Enter")
    await until(page, "document.getElementById('chosen').textContent.includes('to bill')")
    assert await page.get_attribute(".node[data-id='topic:orders']", "aria-pressed") == "true"
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".flow svg:not(.dimmed)")
    await page.focus(".fold[title=orders]")
    await page.keyboard.press("Space")
    await until(page, "document.querySelectorAll('tr.part').length === 12")
    await page.keyboard.press("Space")
    await page.focus("#pause")
    await page.keyboard.press("Enter")
    assert await page.get_attribute("#pause", "aria-pressed") == "true"
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".pill[data-state=ready]")


async def a_killed_worker_shows(page: Page, shop: Shop) -> None:
    """It is shown as silent, and later as having left; what it had is shown where it is then."""
    shop.workers[1].kill()
    killed = time.monotonic()
    card = f".worker[data-url='{shop.urls[1]}']"
    await page.wait_for_selector(
        f"{card}[data-state=silent], {card}[data-state=left]", timeout=15000
    )
    assert time.monotonic() - killed < 15
    await page.wait_for_selector(f"{card}[data-state=left]", timeout=30000)
    await page.wait_for_selector(".pill[data-state=ready]", timeout=30000)
