"""Opens report pages in a headless Chromium and fails if one asks for anything but itself or complains.

    python3 tools/check_page.py runs/NAME/report.html evaluations/NAME/report.html
    python3 tools/check_page.py --self-test

Needs a `chromium`, `chromium-browser` or `google-chrome` (or CHROMIUM=PATH); nothing else. The browser has no network: every name is
unknown to it, and its own log says what was asked for. Each page must also have drawn something: a heading, and every figure with a
size. The self-test shows pages with a planted fault and succeeds if each is found.
"""

import argparse
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
# Schemes that stay inside the browser.
INSIDE = ("data:", "about:", "chrome:", "chrome-extension:", "devtools:", "blob:")


def browser():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        sys.exit("there is no Chromium\n  fix: install one, or name it with CHROMIUM=PATH")
    return found


def show(page, folder):
    """The page's DOM after it was shown, what the console said, and the addresses that were asked for."""
    log = folder / "net.json"
    command = [
        browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
        "--disable-default-apps", "--no-default-browser-check", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--net-log-capture-mode=Everything",
        "--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1280,2000",
        f"--screenshot={folder / 'page.png'}", "--dump-dom", page.resolve().as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if shown.returncode != 0:
        sys.exit(f"{page}: the browser failed\n{shown.stderr[-2000:]}")
    console = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    return shown.stdout, console, asked_for(log, page)


def asked_for(log, page):
    """Addresses that the page asked for, from Chromium's log; what the browser wants for itself has no origin there."""
    text = log.read_text(encoding="utf-8")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:
        # A browser that ends quickly may not close its log's brackets.
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    starts = [event["params"] for event in events if "initiator" in event.get("params", {})]
    urls = {start.get("url", "") for start in starts if start["initiator"] != "not an origin"}
    own = page.resolve().as_uri()
    return sorted(url for url in urls if not url.startswith(INSIDE) and url.split("#")[0] != own)


class Contents(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.counts = {}
        self.empty_figures = 0
        self.remote = []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        attributes = dict(attributes)
        if tag == "svg" and not re.match(r"[1-9]", (attributes.get("viewbox") or attributes.get("width") or "").split(" ")[-1]):
            self.empty_figures += 1
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name) or ""
            if value and not value.startswith(("#", "data:")):
                self.remote.append(f"<{tag} {name}={value!r}>")


def faults(page):
    with tempfile.TemporaryDirectory() as folder:
        dom, console, requests = show(page, pathlib.Path(folder))
        picture = (pathlib.Path(folder) / "page.png").stat().st_size
    contents = Contents()
    contents.feed(dom)
    found = [f"console: {line}" for line in console]
    found += [f"request: {url}" for url in requests]
    found += [f"it points elsewhere: {link}" for link in contents.remote]
    if not contents.counts.get("h1"):
        found.append("there is no heading")
    if contents.empty_figures:
        found.append(f"{contents.empty_figures} figures have no size")
    summary = ", ".join(f"{contents.counts.get(tag, 0)} {tag}" for tag in ("h2", "table", "svg", "details", "script"))
    return found, f"{summary}; screenshot of {picture} bytes"


def self_test():
    good = "<!doctype html><title>t</title><h1>t</h1><svg viewBox='0 0 10 10'></svg>"
    planted = {
        "an error in the console": good + "<script>console.error('planted')</script>",
        "a script that throws": good + "<script>null.planted</script>",
        "a picture from elsewhere": good + "<img src='http://planted.example/a.png'>",
        "a style from elsewhere": good + "<style>@import 'http://planted.example/a.css';</style>",
        "a request of a script": good + "<script>fetch('http://planted.example/').catch(() => 0)</script>",
        "a file beside it": good + "<img src='beside.png'>",
        "no heading": "<!doctype html><title>t</title><p>t",
        "a figure without a size": good + "<svg></svg>",
    }
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "page.html"
        page.write_text(good, encoding="utf-8")
        found, _ = faults(page)
        missed = [f"a good page is refused: {found}"] if found else []
        for name, text in planted.items():
            page.write_text(text, encoding="utf-8")
            found, _ = faults(page)
            print(f"{name}: {'; '.join(found)[:160] or 'NOT FOUND'}")
            missed += [] if found else [f"{name} was not found"]
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if not arguments.self_test and not arguments.pages:
        parser.error("name a page, or --self-test")
    failed = self_test() if arguments.self_test else []
    for page in arguments.pages:
        found, summary = faults(page)
        print(f"{page}: {'ok' if not found else 'FAILED'} ({summary})")
        failed += [f"{page}: {fault}" for fault in found]
    for fault in failed:
        print(fault)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
