"""Take the pictures of ``docs/guide/images``: the dashboard of the shop in ``tests/support/shop.py``, in a Chromium.

Needs a Chromium, and looks best with the font Inter (Debian: ``apt-get install chromium fonts-inter``).

Usage::

    python scripts/dashboard_pictures.py
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.functional.web.test_dashboard_browser import OPTIONS, Shop, opened  # noqa: E402 - found now

IMAGES = ROOT / "docs" / "guide" / "images"
SECONDS = 45
"""How long the shop runs before its picture is taken."""


async def main() -> None:
    """Open the shop, and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    shop = Shop(Path(tempfile.mkdtemp(prefix="faust-shop-")))
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(OPTIONS)
            )
            size = {"width": 1280, "height": 1010}
            async with opened(browser, shop.urls[0], viewport=size, color_scheme="light") as seen:
                page = seen.page
                await asyncio.sleep(SECONDS)
                await page.screenshot(path=IMAGES / "dashboard-light.png")
                await page.emulate_media(color_scheme="dark")
                await asyncio.sleep(1.5)
                await page.screenshot(path=IMAGES / "dashboard-dark.png")
                await page.emulate_media(color_scheme="light")
                await page.set_viewport_size({"width": 390, "height": 844})
                await asyncio.sleep(1.5)
                await page.screenshot(path=IMAGES / "dashboard-phone.png")
                await page.set_viewport_size({"width": 1280, "height": 1010})
                shop.workers[1].kill()
                await page.wait_for_selector(".worker[data-state=silent]")
                await page.locator("section[aria-labelledby=workers-title]").screenshot(
                    path=IMAGES / "dashboard-killed.png"
                )
            await browser.close()
    finally:
        for worker in shop.workers:
            worker.kill()


asyncio.run(main())
