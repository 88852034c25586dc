"""Chromium without a window, for the tests of pages."""

import os
import shutil
from contextlib import contextmanager

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1500,1100",
]  # fmt: skip


@contextmanager
def chromium(folder, log=False):
    """Open a browser whose profile is the folder; `log`: it takes note of its network requests.

    Without Chromium or its driver the test is skipped, or fails where TEXTAE_TEST_BROWSER=required.
    """
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "needs Chromium and its driver: Debian's packages chromium and chromium-driver"
        if os.environ.get("TEXTAE_TEST_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS, f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    if log:
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()
