"""The live page's files: how they are served, and that they ask nobody else for anything."""

from __future__ import annotations

import gzip
import http.client
import os
import re
from collections.abc import Iterator

import pytest

from exporter.page import DIRECTORY, HEADERS, files
from inspector.schema import Document
from tests.testbed.page_server import Served, serving
from tests.unit.documents import document

OURS = {name: file.plain.decode() for name, file in files().items() if not name.startswith("uplot/")}


def nothing(_: int) -> Document:
    """Make an empty machine."""
    return document()


@pytest.fixture(name="served", scope="module")
def served_fixture() -> Iterator[Served]:
    """Serve the page."""
    with serving(nothing) as served:
        yield served


def get(served: Served, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask for a path as it is written; returns the answer and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "text/html"), ("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml"),
     ("uplot/uPlot.iife.min.js", "text/javascript")],
)  # fmt: skip
def test_a_file_is_sent_with_its_type_and_the_policy(served: Served, name: str, kind: str) -> None:
    """Each file has the type a browser insists on, and every header that keeps it from doing anything else."""
    response, body = get(served, f"/ui/{name}")
    assert response.status == 200
    assert (response.getheader("Content-Type") or "").split(";")[0] == kind
    assert body == files()[name or "index.html"].plain
    assert {header: response.getheader(header) for header in HEADERS} == HEADERS
    response, body = get(served, f"/ui/{name}", "HEAD")
    assert (response.status, body) == (200, b"")


def test_the_policy_allows_the_page_its_own_files_alone() -> None:
    """No inline script or style, nothing from elsewhere, no frame around it, no text made into script."""
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    own = ("script-src", "style-src", "img-src", "connect-src")
    assert {name: policy.pop(name) for name in own} == dict.fromkeys(own, "'self'")
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")


def test_a_browser_that_has_a_file_is_not_sent_it_again(served: Served) -> None:
    """The tag of the plain and of the compressed file is the same; 304 has no body and keeps the policy."""
    response, body = get(served, "/ui/app.js", Accept_Encoding="gzip")
    assert response.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == files()["app.js"].plain
    again, nothing = get(served, "/ui/app.js", If_None_Match=response.getheader("ETag") or "")
    assert (again.status, nothing) == (304, b"")
    assert again.getheader("Content-Security-Policy") == HEADERS["Content-Security-Policy"]
    assert get(served, "/ui/app.js", If_None_Match='W/"other"')[0].status == 200


@pytest.mark.parametrize("path", ["../page.py", "%2e%2e/page.py", "uplot/", "uplot/LICENSE", "/etc/passwd", "x\x7f"])
def test_there_is_nothing_but_the_files(served: Served, path: str) -> None:
    """A path that is no file of the page is not found, whatever it means to a filesystem."""
    response, _ = get(served, f"/ui/{path.replace(chr(0x7F), '%7f')}")
    assert response.status == 404
    assert response.getheader("Content-Security-Policy") == HEADERS["Content-Security-Policy"]


def test_the_directory_is_reached_without_its_slash(served: Served) -> None:
    """/ui leads to /ui/ by a relative address, as a proxy may have put a prefix before it."""
    response, _ = get(served, "/ui")
    assert (response.status, response.getheader("Location")) == (307, "ui/")


def test_each_file_that_is_used_is_there() -> None:
    """What the page and its modules load are files of the page."""
    used = re.findall(r'(?:src|href)="([^"#]+)"', OURS["index.html"])
    for text in OURS.values():
        used += re.findall(r'^import .* from "\./([^"]+)"', text, re.MULTILINE)
    assert len(used) > 15
    assert set(used) <= set(files())
    assert set(OURS) - set(used) == {"index.html"}


def test_the_page_names_no_other_machine() -> None:
    """No address of anywhere else stands in what we wrote, and nothing that a strict policy would refuse."""
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    for name, text in OURS.items():
        assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(unsafe, text), name
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", OURS["index.html"])


def test_uplot_is_shipped_as_it_was_published() -> None:
    """The library's two files and its licence are there, of the version that the first line says."""
    assert files()["uplot/uPlot.iife.min.js"].plain.startswith(b"/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    with open(os.path.join(DIRECTORY, "uplot", "LICENSE"), encoding="utf-8") as file:
        assert "The MIT License" in file.read()
