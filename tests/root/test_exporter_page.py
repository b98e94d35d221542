"""The live page in headless Chromium: over documents made here, and over a real container."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.findings import CODES
from inspector.schema import Container, Document
from inspector.views import text
from inspector.views.scene import Scene
from inspector.views.selection import Selection, select
from tests.testbed.chromium import Browser, Page
from tests.testbed.commands import BUSY_LOOP, Sandbox
from tests.testbed.exporter import running
from tests.testbed.page_server import Served, serving
from tests.testbed.tools import need
from tests.unit.documents import container, document, process

pytestmark = pytest.mark.root

HOSTILE = "<script>alert(1)</script>"
TRIES = 20
PROBLEM = "<i>odd</i>/" + "x" * 480  # a path without a place to break it
HIDING = "a\x1b[31m\u202egnp.exe\u200b"
# The names in the order that the rows have on the screen.
NAMES = "[...document.querySelectorAll('#containers tbody .c-name a')].map(one => one.textContent)"
FOCUSED = "document.activeElement.textContent"


# What happens to the table's elements, as the browser tells it.
WATCHED = """(() => {
  window.seen = { ticks: 0, rows: 0, texts: 0 };
  new MutationObserver((changes) => {
    seen.ticks += 1;
    for (const { type, target } of changes) {
      if (type === "childList" && target.matches("tbody, tr")) seen.rows += 1;
      else seen.texts += 1;
    }
  }).observe(document.querySelector("tbody"), { childList: true, characterData: true, subtree: true });
})()"""


def machine(tick: int) -> Document:
    """Make a machine whose third container gets busier."""
    made: list[Container] = [
        container("alpha", cpu={"usage_cores": 0.5, "limit_ratio": 0.5}, memory={"working_set_bytes": 50 << 20}),
        container("beta", runtime="podman", image="redis:7", cpu={"usage_cores": 0.25, "limit_cores": None,
                  "limit_ratio": None}, memory={"working_set_bytes": 70 << 20}, state="paused"),
        container("gamma", cpu={"usage_cores": tick / 1000, "limit_set_by": "/docker"},
                  findings=[{"code": "cpu-throttled", "severity": "critical", "text": "throttled in 98%"}]),
        container(HOSTILE, image="<img src=x onerror=alert(2)>", labels={"<b>": "</dd><script>alert(3)</script>"},
                  members=400, processes=[process(4242, cmdline="<img src=x onerror=alert(4)>"),
                             process(4243, cpu_cores=0.9, cmdline="", comm="\x1b[31m<b>")],
                  cpu={"usage_cores": None, "limit_ratio": None},
                  memory={"working_set_bytes": None, "anon_bytes": None}),
        container(HIDING, id="/weird/../id?#%41", cpu={"usage_cores": 0.0}, memory={"working_set_bytes": 1 << 20}),
        container("sshd.service", kind="service", runtime="systemd", cpu={"usage_cores": 0.9}),
    ]  # fmt: skip
    return document(*made, taken_at=1_700_093_600.0 + tick, denied=2, problems=[PROBLEM])


@pytest.fixture(name="browser", scope="module")
def browser_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start the browser once for all tests of this file."""
    need("chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(name="served", scope="module")
def served_fixture() -> Iterator[Served]:
    """Serve the machine above, as an exporter without the capability does."""
    with serving(machine, lacks=("CAP_SYS_PTRACE",)) as served:
        yield served


@pytest.fixture(name="page")
def page_fixture(browser: Browser, served: Served) -> Iterator[Page]:
    """Open the page and wait for its rows; nothing it did may be a reason to complain, or have left this machine."""
    page = browser.page()
    page.go(served.url)
    page.wait(f"{NAMES}.length === 5")
    yield page
    check_quiet(page, served.url.removesuffix("ui/"))
    page.run("localStorage.clear()")
    page.close()


def check_quiet(page: Page, origin: str) -> None:
    """See that the page complained of nothing and asked nobody but the exporter."""
    assert page.complaints() == []
    assert page.requests()
    assert [url for url in page.requests() if not url.startswith(origin)] == []


def cell(name: str, column: str) -> str:
    """Return the expression for the text in one container's cell."""
    rows = "[...document.querySelectorAll('#containers tbody tr')]"
    row = f"{rows}.find(row => row.querySelector('.c-name a').textContent === {json.dumps(name)})"
    return f"{row}?.querySelector('.c-{column}').textContent"


def enter(page: Page, name: str) -> None:
    """Go to the page of a container."""
    page.run(f"[...document.querySelectorAll('.c-name a')].find(one => one.textContent === {json.dumps(name)}).click()")


def test_rows_appear_update_come_and_go(browser: Browser) -> None:
    """The busiest is on top, figures change in place, a container that is born or ends comes and goes."""
    page = browser.page()
    born: list[Container] = []

    def growing(tick: int) -> Document:
        """Make the same machine with a container more."""
        made = machine(tick)
        made["containers"] += born
        return made

    with serving(growing) as served:
        page.go(served.url)
        page.wait(f"{NAMES}[0] === 'alpha'")
        first = page.run(cell("gamma", "cpu"))
        born.append(container("late", cpu={"usage_cores": 0.75}))
        page.wait(f"{NAMES}[0] === 'late'")
        assert page.run("document.getElementById('shown').textContent") == "6 of 7"
        assert page.run(cell("gamma", "cpu")) != first
        born.clear()
        page.wait(f"{NAMES}[0] === 'alpha' && {NAMES}.length === 5")
        check_quiet(page, served.url.removesuffix("ui/"))
        page.close()


def test_a_container_that_ends_while_its_page_is_opened(browser: Browser) -> None:
    """It is called by the name that the list had, and gone; back in the list the first row has the focus."""
    page = browser.page()
    there: list[Container] = [container("late", cpu={"usage_cores": 0.75}), container("other")]
    with serving(lambda tick: document(*there, taken_at=1_700_093_600.0 + tick)) as served:
        page.go(served.url)
        page.wait(f"{NAMES}[0] === 'late'")
        page.click("#pause")
        del there[0]
        enter(page, "late")  # which ends the pause
        page.wait("document.querySelector('#detail .state').textContent === 'gone'")
        assert page.run("document.querySelector('#detail h1').textContent") == "late"
        page.press("Escape")
        page.wait(f"{FOCUSED} === 'other'")
        check_quiet(page, served.url.removesuffix("ui/"))
        page.close()


def test_two_hundred_containers_are_drawn_once(browser: Browser) -> None:
    """A tick changes the text of what changed: no row is made or moved while their order stays."""
    page = browser.page()

    def many(tick: int) -> Document:
        """Make a machine of 200 that are all busy, each second one another way at each tick."""
        made = [container(f"c{one:03}", id=f"{one:064}", cpu={"usage_cores": 1 / (one + 2) + one % 2 * tick / 1000})
                for one in range(200)]  # fmt: skip
        return document(*made, taken_at=1_700_093_600.0 + tick)

    with serving(many) as served:
        page.go(served.url)
        page.wait(f"{NAMES}.length === 200")
        page.click("th.c-name button")
        page.wait(f"{NAMES}[0] === 'c000' && {NAMES}[199] === 'c199'")
        page.run(WATCHED)
        page.wait("seen.ticks > 3")
        seen = page.run("seen")
        assert seen["rows"] == 0
        assert 0 < seen["texts"] < 200 * seen["ticks"]  # what is out of sight waits
        check_quiet(page, served.url.removesuffix("ui/"))
        page.close()


def test_what_a_row_says(page: Page) -> None:
    """Limits with who sets them, none where there is none, findings in words; above them what is out of sight."""
    assert page.run(cell("gamma", "limit")) == "^0.20"
    assert page.run(cell("beta", "limit")) == "none"
    assert page.run(cell("gamma", "findings")) == "▲ cpu-throttled"
    assert page.run(cell("alpha", "mem")) == "50MiB/ 64MiB"
    assert page.run("document.getElementById('notices').innerText").split("\n") == [
        "2 processes hidden: access denied (CAP_SYS_PTRACE lifts most of that)",
        f"problem: {PROBLEM}",
    ]
    page.run("document.querySelector('td.c-limit').dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))")
    assert page.run("document.querySelector('td.c-limit').title") == "0.2 cores, set by its own cgroup"


def test_sorting_by_click(page: Page) -> None:
    """A click on a title sorts by it, a second one reverses; unknown values stay last; the title says so."""
    page.click("th.c-mem button")
    page.wait(f"{NAMES}[0] === 'beta'")
    assert page.run("document.querySelector('th.c-mem').ariaSort") == "descending"
    assert page.run("document.querySelectorAll('th[aria-sort]').length") == 1
    page.click("th.c-mem button")
    page.wait("document.querySelector('th.c-mem').ariaSort === 'ascending'")
    page.wait(f"{NAMES}.at(-1) === {json.dumps(HOSTILE)}")
    assert page.run(NAMES)[0] == text.safe(HIDING)
    page.click("th.c-name button")
    page.wait("document.querySelector('th.c-name').ariaSort === 'ascending'")
    names = page.wait(f"{NAMES}[0] === {json.dumps(HOSTILE)} && {NAMES}")
    assert names[1:4] == [text.safe(HIDING), "alpha", "beta"]


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    """Skip link, filter, rows, one container and back with its row in focus, all kinds, CPU's meaning, help."""
    page.press("Tab")
    page.wait(f"{FOCUSED} === 'Skip to the containers'")
    page.press("Enter")
    page.wait(f"{FOCUSED} === 'alpha'")
    page.press("j")
    page.wait(f"{FOCUSED} === 'beta'")
    page.press("ArrowUp")
    page.press("Enter")
    page.wait(f"document.querySelector('#detail h1')?.textContent === 'alpha' && {FOCUSED} === 'alpha'")
    page.press("Escape")
    page.wait("!document.getElementById('list').hidden && document.activeElement.href?.includes('alpha')")
    page.press("a")
    page.wait(f"{NAMES}[0] === 'sshd.service'")
    page.press("0")
    page.wait("document.querySelector('th.c-cpu .of').textContent === 'of its limit'")
    page.press("N", shift=True)
    page.wait("document.querySelector('th.c-name').ariaSort === 'ascending'")
    page.press("/")
    page.wait("document.activeElement.id === 'filter'")
    page.call("Input.insertText", text="runtime:podman|systemd")
    page.wait(f"{NAMES}.join() === 'beta,sshd.service'")
    page.press("Escape")
    page.wait(f"{NAMES}.length === 6")
    page.press("Escape")
    page.press("?", shift=True)
    assert "filter" in page.wait("document.querySelector('dialog[open]')?.innerText")
    page.press("Escape")
    page.wait("!document.querySelector('dialog[open]')")


def test_filters_mean_what_they_mean_in_ctop(page: Page) -> None:
    """Words and keys choose the same containers as `ctop -f`; alternatives, patterns and findings besides."""
    shown = {"nosuch|label:script": [HOSTILE]}  # first, as labels come from when on they are asked for
    shown |= {
        words: [one["name"] for one in select(machine(9)["containers"], Selection(words=words), Scene())]
        for words in ("", "A", "alp", "runtime:podman", "nginx:1.25", "name:beta redis", "kind:container state:paused",
                      "label:team=shop", "LABEL:script")
    }
    shown |= {"alpha|beta": ["alpha", "beta"], "name:alpha|name:beta": ["alpha", "beta"],
              "name:alpha|finding:throttled": ["alpha", "gamma"], "/^(alpha|gamma)$/": ["alpha", "gamma"],
              "finding:throttled": ["gamma"]}
    for words, names in shown.items():
        escaped = sorted(map(text.safe, names))
        page.run(f"(i => {{ i.value = {json.dumps(words)}; i.dispatchEvent(new Event('input')) }})(filter)")
        page.wait(f"{NAMES}.sort().join() === {json.dumps(','.join(escaped))}")
    page.run("(i => { i.value = '/(/'; i.dispatchEvent(new Event('input')) })(filter)")
    page.wait("document.getElementById('empty').innerText.startsWith('No container matches the filter.')")


def test_one_container_in_detail(page: Page) -> None:
    """Its figures, charts that are drawn, who limits it, whose its namespaces are, its layers, its findings."""
    enter(page, "gamma")
    shown = page.wait("document.querySelector('.panels section') && document.getElementById('detail').innerText")
    for part in ("throttled in 98%", "/docker", "binds", "its own", "/l1", "writable", "cgroup pattern docker"):
        assert part in shown, part
    page.wait("document.querySelectorAll('.chart canvas').length === 6")
    image = "document.querySelector('.chart canvas').getContext('2d').getImageData(0, 0, 400, 300)"
    page.wait(f"{image}.data.some(Boolean)")
    assert re.search(r"\d% of its limit 0.20 cores, set by an ancestor", shown)
    page.run("document.querySelector('details summary').click()")
    before = page.run("document.querySelector('.chart b').textContent")
    page.wait(f"document.querySelector('.chart b').textContent !== {json.dumps(before)}")
    assert page.run("document.querySelector('details').open")
    for id_ in ("no-such", "%"):  # the second is nothing that could be decoded
        page.run(f"location.hash = '#/container/{id_}'")
        page.wait("document.querySelector('#detail h1')?.textContent === 'No such container'")
        page.run("location.hash = '#/'")
        page.wait(f"!document.getElementById('list').hidden && {NAMES}.length === 5")
    enter(page, "beta")
    shown = page.wait("document.querySelector('.panels section') && document.querySelector('.panels').innerText")
    assert ", no limit seen" in shown
    assert "- of its" not in shown


def test_what_a_container_says_is_text(page: Page) -> None:
    """Markup in names, images and labels stays text, what hides or reverses is made visible, ids are no addresses."""
    assert {HOSTILE, text.safe(HIDING)} <= set(page.run(NAMES))
    for name in (HOSTILE, text.safe(HIDING)):
        enter(page, name)
        page.wait(f"document.querySelector('#detail h1')?.textContent === {json.dumps(name)}")
        page.wait("document.querySelector('.panels section')")
        assert page.run("document.title") == f"{name} · testhost · cgscope"
        assert name == HOSTILE or page.run("document.querySelector('.line').innerText").endswith("id /weird/../id?#%41")
        assert page.run("document.querySelectorAll('main script, main img, main b script').length") == 0
        if name == HOSTILE:
            commands = page.run("[...document.querySelectorAll('.processes .command')].map(one => one.textContent)")
            assert commands == ["[\\x1b[31m<b>]", "<img src=x onerror=alert(4)>"]
            assert "The first 2 processes of 400." in page.run("document.querySelector('.panels').innerText")
        page.run("location.hash = '#/'")
        page.wait("!document.getElementById('list').hidden")
        page.wait("document.title === 'testhost · cgscope'")


def test_a_new_peak_is_in_sight(browser: Browser) -> None:
    """An arrow beside a figure says that it is above its chart: not what has just made the chart higher."""

    def rising(tick: int) -> Document:
        """Make a container that is throttled a little more at each tick."""
        return document(container("web", cpu={"throttled_ratio": tick / 100}), taken_at=1_700_093_600.0 + tick)

    with serving(rising) as served:
        page = browser.page()
        page.go(served.url)
        page.wait(f"{NAMES}[0] === 'web'")
        enter(page, "web")
        figure = page.wait("document.querySelectorAll('.chart')[1]?.querySelector('b').textContent")
        for _ in range(3):
            figures = "document.querySelectorAll('.chart')[1].querySelector('b').textContent"
            figure = page.wait(f"{figures} !== {json.dumps(figure)} && {figures}")
            assert "↑" not in figure
        page.close()


def test_charts_have_gaps_where_nothing_is_known(page: Page) -> None:
    """Also where the first look after a gap has no interval: an exporter that was started anew has none before it."""
    looks = [(1, 1.0), (2, 1.0), (20, None), (21, 1.0)]
    web = container("web")
    documents = [{**document(web, taken_at=float(at)), "interval_seconds": over} for at, over in looks]
    made = f"const all = new History(); {json.dumps(documents)}.forEach((one) => all.add(one))"
    series = f"all.series({json.dumps(web['id'])}, ['memory'])"
    times, memory = page.run(f"import('./history.js').then(({{History}}) => {{ {made}; return {series}; }})")
    assert times == [1, 2, 3, 20, 21]
    assert [value is None for value in memory] == [False, False, True, False, False]


def test_times_below_a_chart_are_whole(page: Page) -> None:
    """The last one may stand below the right end of a chart: half of it goes beyond, and there is room for that."""
    enter(page, "gamma")
    page.wait("document.querySelectorAll('.chart canvas').length === 6")
    room, half = page.run("""(() => {
      const right = (name) => document.querySelector(`.chart ${name}`).getBoundingClientRect().right;
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = "11px system-ui, sans-serif";
      return [right("canvas") - right(".u-over"), pen.measureText("00:00:00").width / 2];
    })()""")
    assert room >= half


# One is on either side of each step of the style sheet.
WIDTHS = (320, 390, 768, 899, 900, 959, 960, 1059, 1060, 1279, 1280, 1431, 1432, 1440, 1645, 1646, 1805, 1806, 2000)


def test_no_width_scrolls_sideways(page: Page) -> None:
    """From a telephone to a wide screen the page is as wide as the window, in the list and in detail."""
    for width in WIDTHS:
        page.size(width, 800)
        page.wait(f"innerWidth === {width} && document.documentElement.scrollWidth === {width}")
    enter(page, "gamma")
    page.wait("document.querySelector('.panels section')")
    for width in WIDTHS:
        page.size(width, 800)
        page.wait(f"innerWidth === {width} && document.documentElement.scrollWidth === {width}")


CUT_OFF = """[...document.querySelectorAll('#containers tbody td:not(.c-image)')]
  .filter(one => one.checkVisibility() && (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight))
  .map(one => one.className + one.textContent)"""


def test_nothing_is_cut_off(browser: Browser) -> None:
    """In a window of any width the longest figures and findings are whole, and a name that Compose gives."""
    most = 1023 * 2.0**20
    made = document(
        container(
            "shop-web-frontend-1", members=9999, runtime="bubblewrap",
            findings=[{"code": max(CODES, key=len), "severity": "critical", "text": "x"}] * 2,
            cpu={"usage_cores": 99.994, "limit_cores": 0.06, "limit_set_by": "/docker", "limit_ratio": 1.0,
                 "throttled_ratio": 0.2, "inherited_throttled_ratio": 1.0, "pressure_some_ratio": 1.0},
            memory={"working_set_bytes": int(most), "limit_bytes": int(most), "limit_set_by": "/docker",
                    "limit_ratio": 1.0, "pressure_some_ratio": 1.0, "pressure_full_ratio": 1.0, "oom_kills": 9999},
            pids={"current": 32768, "limit": 32768},
            io={"read_bytes_per_second": most, "write_bytes_per_second": most, "pressure_some_ratio": 1.0},
            network={"receive_bytes_per_second": most, "transmit_bytes_per_second": most},
        )
    )  # fmt: skip
    with serving(lambda _: made) as served:
        page = browser.page()
        page.go(served.url)
        page.wait("document.querySelector('#containers tbody tr')")
        for width in WIDTHS[1:]:
            page.size(width, 800)
            page.wait(f"innerWidth === {width}")
            assert (width, page.run(CUT_OFF)) == (width, [])
        page.close()


def test_a_name_has_a_line_on_a_telephone(page: Page) -> None:
    """Names as long as Docker's own and a runtime beside them stand on one line, the mark of the state before them."""
    page.size(390, 844)
    page.wait("innerWidth === 390")
    height = "Math.round(one.offsetHeight / parseFloat(getComputedStyle(one).lineHeight))"
    lines = f"one => {{ one.textContent = 'xenodochial_chandrase'; return {height}; }}"
    running = "[...document.querySelectorAll('tr:not(.paused, .hollow) .c-name a')]"  # behind others stands their state
    assert set(page.run(f"{running}.map({lines})")) == {1}


# Elements with text of their own whose colour is too near that of what is behind them.
CONTRAST = r"""(() => {
  // rgb(1, 2, 3), rgba(1, 2, 3, 0.5), or color(srgb 0.1 0.2 0.3)
  const parse = (colour) => colour.match(/[\d.]+/g).map((one, at) => (colour[0] === "c" && at < 3 ? one * 255 : +one));
  const linear = (value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (node) => {
    const colour = parse(getComputedStyle(node).backgroundColor);
    return colour.length < 4 || colour[3] === 1 ? colour : ground(node.parentElement);
  };
  const contrast = (node) => {
    const [most, least] = [parse(getComputedStyle(node).color), ground(node)].map(light).sort((a, b) => b - a);
    return (most + 0.05) / (least + 0.05);
  };
  return [...document.querySelectorAll("body *")]
    .filter((node) => [...node.childNodes].some((one) => one.nodeType === Node.TEXT_NODE && one.data.trim()))
    .filter((node) => node.checkVisibility() && contrast(node) < 4.5)
    .map((node) => [contrast(node), node.className, node.textContent]);
})()"""


def stands_out(page: Page) -> None:
    """See that all text does, as soon as the page is live: it pales when it has waited for the exporter."""
    live = "document.getElementById('status').textContent === 'live' && !document.body.matches('.stale')"
    assert page.wait(f"{live} && {{pale: {CONTRAST}}}")["pale"] == []


def test_every_text_stands_out(page: Page) -> None:
    """In both themes each visible text has a contrast of 4.5 to what is behind it (WCAG AA), list and detail."""
    for theme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        page.wait(f"document.documentElement.dataset.theme === '{theme}'")
        stands_out(page)
        enter(page, "gamma")
        page.wait("document.querySelector('.panels section')")
        stands_out(page)
        page.run("location.hash = '#/'")
        page.wait(f"{NAMES}.length === 5 && !document.getElementById('list').hidden")
    page.click("#theme")
    page.wait("document.documentElement.dataset.theme === 'light'")


def test_a_table_to_those_who_cannot_see_it(page: Page) -> None:
    """The accessibility tree has a table with its titles and rows, and a name for every control."""
    nodes: list[dict[str, Any]] = page.call("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in nodes if not node["ignored"]]
    roles = [node["role"]["value"] for node in seen]
    assert (roles.count("table"), roles.count("columnheader"), roles.count("row")) == (1, 13, 6)
    controls = [node for node in seen if node["role"]["value"] in ("button", "link", "combobox", "searchbox")]
    assert [node for node in controls if not node["name"]["value"]] == []


def test_the_loss_of_the_exporter_is_seen_and_healed(browser: Browser) -> None:
    """Cut off, the page says since when it knows nothing new, and pales; when the exporter is back it goes on.

    Who hears the page is told once that it is cut off, and not every second.
    """
    page = browser.page()
    with serving(machine) as served:
        page.go(served.url)
        page.wait(f"{NAMES}.length === 5 && document.getElementById('status').textContent === 'live'")
    page.wait("/^disconnected, last update \\d+ s ago$/.test(document.getElementById('status').textContent)")
    page.wait("document.body.classList.contains('stale')")
    nodes: list[dict[str, Any]] = page.call("Accessibility.getFullAXTree")["nodes"]
    assert [node["name"]["value"] for node in nodes if "disconnected" in str(node.get("name"))] == ["disconnected"] * 2
    with serving(machine, port=served.port):
        page.wait("document.getElementById('status').textContent === 'live' && !document.body.matches('.stale')")
    page.close()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (document(), "No containers on this machine now. They appear here as they start."),
        (document(container(kind="service")), "No containers on this machine now; 1 service or control group."),
        (
            document(
                container("me"),
                viewpoint={"inside_container": True, "hidden_ancestors": True, "self": "me-0123456789abcdef"},
            ),
            "limits of cgroups above are hidden from here: unknown, not unlimited",
        ),
    ],
    ids=["nothing", "services", "inside"],
)
def test_little_to_see_is_said(browser: Browser, made: Document, expected: str) -> None:
    """Without containers the page says what there is instead; inside one, what /proc claims and what is hidden."""
    with serving(lambda _: made) as served:
        page = browser.page()
        page.go(served.url)
        page.wait(f"document.body?.innerText.includes({json.dumps(expected)})")
        if made["viewpoint"]["inside_container"]:
            page.wait("document.getElementById('meters').innerText.includes('of 0.20 cores · /proc claims 2')")
        assert page.complaints() == []
        page.close()


@pytest.mark.parametrize(
    ("lacks", "processes", "files", "namespaces"),
    [
        (("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"), " (CAP_SYS_PTRACE lifts most of that)",
         " (CAP_DAC_READ_SEARCH lifts that)", "that takes CAP_SYS_PTRACE"),
        ((), "", "", "access denied"),
    ],
    ids=["user", "root"],
)  # fmt: skip
def test_what_is_denied_names_a_capability_only_where_it_is_missing(
    browser: Browser, lacks: tuple[str, ...], processes: str, files: str, namespaces: str
) -> None:
    """Who has the capability and is refused all the same (a security module, hidepid) is not told to get it."""
    one = container("web")
    one["namespaces"] = {}
    made = document(one, denied=3, denied_files=1)
    with serving(lambda _: made, lacks=lacks) as served:
        page = browser.page()
        page.go(served.url)
        notices = "[...document.querySelectorAll('#notices li')].map(one => one.textContent)"
        page.wait(f"{notices}.length === 2")
        assert page.run(notices) == [
            f"2 processes hidden: access denied{processes}",
            f"1 file not readable: access denied{files}",
        ]
        enter(page, "web")
        page.wait(f"document.querySelector('.panels')?.innerText.includes({json.dumps(f'not readable: {namespaces}')})")
        assert page.complaints() == []
        page.close()


FIGURES = [
    None, 0, 1, 0.004, 0.0994, 0.0996, 0.2, 1.5, 9.994, 9.996, 12.34, 99.94, 99.96, 512, 1023, 1023.4, 1024, 1536,
    1048575, 1048576, 123456789, 2**30, 2**40 * 3.3, 59.95, 61, 3599, 3600, 86400, 90061.5,
]  # fmt: skip
TEXTS = ["plain", HIDING, "\x00\x7f\x9f", "\udc80\udcff", "\u2028\u00a0", "日本語 é", "\U000e0001\U0001f600", "\u2067"]


def test_figures_and_names_are_written_as_in_ctop(page: Page) -> None:
    """Each figure and each hostile text is the same to the letter in the page and in the terminal."""
    forms = {"byteSize": text.byte_size, "rate": text.rate, "percent": text.percent, "cores": text.cores,
             "duration": text.duration, "count": text.count}  # fmt: skip
    module = "import('./format.js')"
    for name, form in forms.items():
        shown = page.run(f"{module}.then((module) => {json.dumps(FIGURES)}.map(module.{name}))")
        assert dict(zip(FIGURES, shown, strict=True)) == {value: form(value) for value in FIGURES}, name
    assert page.run(f"{module}.then((module) => {json.dumps(TEXTS)}.map(module.safe))") == [*map(text.safe, TEXTS)]


def test_turning_pages_leaks_nothing(page: Page) -> None:
    """Fifteen visits to a container leave less than two pages' elements, and no listener."""

    def visit(times: int) -> tuple[float, float]:
        for _ in range(times):
            page.run("document.querySelector('.c-name a').click()")
            page.wait("document.querySelectorAll('.chart canvas').length === 6")
            page.run("location.hash = '#/'")
            page.wait("!document.querySelector('.chart') && !document.getElementById('list').hidden")
        page.call("HeapProfiler.collectGarbage")
        found = page.metrics()
        return found["Nodes"], found["JSEventListeners"]

    nodes, listeners = visit(3)
    more_nodes, more_listeners = visit(15)
    for _ in range(TRIES):  # what has just been let go is collected some time later
        if more_nodes < nodes + 500 and more_listeners <= listeners + 10:
            break
        more_nodes, more_listeners = visit(0)
    assert more_nodes < nodes + 500
    assert more_listeners <= listeners + 10


def test_a_real_container(browser: Browser, sandbox: Sandbox, tmp_path: Path) -> None:
    """A busy loop held to a twentieth of a core: quota, figure and finding in its row, its layers in detail."""
    sandbox.start("page-demo", "--cpu-quota", "5000", "--cpu-period", "100000", "--memory", "64m", *BUSY_LOOP)
    with running(tmp_path / "log") as exporter:
        page = browser.page()
        page.go(f"{exporter.url}/ui/")
        page.wait(f"{cell('page-demo', 'limit')} === '0.050'")
        page.wait(f"/^[1-9]\\.\\d%$/.test({cell('page-demo', 'cpu')})")
        page.wait(f"{cell('page-demo', 'findings')}?.includes('cpu-throttled')")
        assert page.run(cell("page-demo", "mem")).endswith("/ 64MiB")
        enter(page, "page-demo")
        processes = BUSY_LOOP[-1]
        for part in ("binds", "0.050 cores", "overlay", "writable", "of its periods by its own quota", processes):
            page.wait(f"document.getElementById('detail').innerText.includes({json.dumps(part)})")
        assert page.complaints() == []
        page.close()
        exporter.process.terminate()
        assert exporter.process.wait(120) == 0
