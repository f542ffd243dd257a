"""The page of ``pcrq view``, driven in a headless Chromium as a person would drive it: slider, button, mouse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from ocnn.octree import Octree, Points
from scipy import stats

from pcrq.stores.shape_store import Shape
from projects.point_cloud.view.page import save_html

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000", "--no-first-run", "--disable-sync"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update"),
]
END, HOME, RIGHT = "\ue010", "\ue011", "\ue014"  # WebDriver's names of keys
HOSTILE = '</script><script>window.stolen = 1</script><img src=x onerror="window.stolen = 1">'

browser_test = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


def sphere(id_: str, count: int = 900, labels: bool = False) -> Shape:
    normals = np.random.default_rng(count).normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = (normals * (0.9, 0.5, 0.3)).astype(np.float32)
    return Shape(points, normals.astype(np.float32), id_, labels=(points[:, 0] > 0).astype(int) if labels else None)


SHAPES = [sphere("ball"), sphere("parts", 500, labels=True), sphere(HOSTILE, 300)]


class Browser:
    """The few commands of the WebDriver protocol that the tests need, over HTTP."""

    def __init__(self, address: str, profile: Path):
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._address = address
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/session/{session['sessionId']}"

    def _send(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with self._open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def visit(self, address: str) -> None:
        self._send("POST", "/url", {"url": "about:blank"})  # else a change of the hash alone would not load the page
        self._send("POST", "/url", {"url": address})

    def run(self, script: str, *arguments):
        """What ``return …`` gives, after the picture has been drawn."""
        drawn = "const done = arguments[arguments.length - 1]; const act = function () {" + script + "};"
        drawn += "const value = act.apply(null, arguments);"
        drawn += "requestAnimationFrame(() => requestAnimationFrame(() => done(value)));"
        return self._send("POST", "/execute/async", {"script": drawn, "args": list(arguments)})

    def _element(self, selector: str) -> str:
        found = self._send("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def click(self, selector: str) -> None:
        self._send("POST", f"/element/{self._element(selector)}/click", {})

    def press(self, selector: str, keys: str) -> None:
        self._send("POST", f"/element/{self._element(selector)}/value", {"text": keys})

    def drag(self, selector: str, right: int, down: int) -> None:
        origin = {"element-6066-11e4-a52e-4f735466cecf": self._element(selector)}
        moves = [
            {"type": "pointerMove", "origin": origin, "x": 0, "y": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "origin": "pointer", "x": right, "y": down, "duration": 50},
            {"type": "pointerUp", "button": 0},
        ]
        self._send("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]})

    def log(self, kind: str) -> list[dict]:
        return self._send("POST", "/se/log", {"type": kind})

    def close(self) -> None:
        self._send("DELETE", "")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "view.html"
    save_html(SHAPES, path, title="Ball <& co>", bins=(5, 30), parts=["left", "right"])
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            for line in driver.stdout:
                if started := re.search(r"successfully on port (\d+)", line):
                    break
            browser = Browser(f"http://127.0.0.1:{started[1]}", tmp_path_factory.mktemp("profile"))
            yield browser
            browser.close()
        finally:
            driver.terminate()


@pytest.fixture
def browser(chromium, page):
    chromium.visit(page)
    return chromium


def text(browser: Browser, element_id: str) -> str:
    return browser.run("return document.getElementById(arguments[0]).textContent", element_id)


def picture(browser: Browser, canvas: str) -> str:
    return browser.run("return document.getElementById(arguments[0]).toDataURL()", canvas)


def quantized(browser: Browser, bins: int, seed: int, edges: bool = True, values: bool = True):
    """Original points, quantized points and the quantizers, from the script of the page."""
    answer = browser.run(
        "const points = pcrq.current().shape.points, r = pcrq.quantize(points, ...arguments);"
        "return { before: [...points], after: [...r.points], quantizers: r.quantizers }",
        *(bins, seed, edges, values),
    )
    return np.reshape(answer["before"], (-1, 3)), np.reshape(answer["after"], (-1, 3)), answer["quantizers"]


def leaves(points: np.ndarray) -> int:
    """Non-empty leaves as ocnn counts them."""
    octree = Octree(depth=6, full_depth=2)
    octree.build_octree(Points(torch.from_numpy(points).float()))
    return int(octree.nnum_nempty[6])


def test_page_needs_nothing_but_itself(page):
    content = Path(page.removeprefix("file://")).read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|\bimport\(|\bfetch\(", content)
    assert set(re.findall(r"<(?:link|script|img)[^>]* (?:src|href)=(\S+?)>", content)) == {'"data:,"'}
    assert "default-src 'none'" in content  # the browser holds it to that


def test_twelve_shapes_of_five_thousand_points_stay_below_a_megabyte(tmp_path):
    save_html([sphere(f"ball-{i}", 5000) for i in range(12)], tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 1_000_000


def test_nothing_is_left_behind_where_the_page_cannot_be_written(tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(ValueError, match=r"page\.html: cannot be written"):
        save_html(SHAPES, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


class TestInChromium:
    pytestmark = browser_test

    def test_counts_are_those_of_the_octree(self, browser):
        before, after, _ = quantized(browser, 30, 0)
        np.testing.assert_allclose(before, SHAPES[0].points, atol=2**-16)
        assert text(browser, "before") == f"900 distinct points · {leaves(SHAPES[0].points)} leaves"
        distinct = len(np.unique(after, axis=0))
        assert text(browser, "after") == f"{distinct} distinct points · {leaves(after)} leaves"

    @pytest.mark.parametrize(("bins", "seed"), [(1, 0), (2, 1), (30, 7), (64, 4294967295)])
    def test_quantizer_follows_equations_2_to_4(self, browser, bins, seed):
        before, after, quantizers = quantized(browser, bins, seed)
        for axis, quantizer in enumerate(quantizers):
            x, edges, values = before[:, axis], np.array(quantizer["edges"]), np.array(quantizer["values"])
            assert (len(edges), len(values)) == (bins - 1, bins)
            boundary = np.array([x.min(), *edges, x.max()])
            assert (np.diff(boundary) >= 0).all()
            assert ((boundary[:-1] <= values) & (values <= boundary[1:])).all()
            np.testing.assert_array_equal(after[:, axis], values[np.searchsorted(edges, x, side="right")])

    def test_edges_and_values_are_uniform_and_differ_between_axes(self, browser):
        drawn = browser.run(
            "const points = pcrq.current().shape.points;"
            "return Array.from({length: 400}, (_, seed) => pcrq.quantize(points, 4, seed, true, true).quantizers)"
        )
        edges = np.array([[q["edges"] for q in draw] for draw in drawn])
        values = np.array([[q["values"] for q in draw] for draw in drawn])
        low, high = (np.array([q[name] for q in drawn[0]])[:, None] for name in ("low", "high"))
        shape = (*edges.shape[:2], 1)
        boundary = np.concatenate([np.broadcast_to(low, shape), edges, np.broadcast_to(high, shape)], axis=2)
        inside = (values - boundary[..., :-1]) / np.diff(boundary)
        fractions = np.concatenate([((edges - low) / (high - low)).ravel(), inside.ravel()])
        assert len(np.unique(fractions.round(12))) == fractions.size  # no stream repeats another
        for axis in range(3):
            assert abs(np.corrcoef(edges[:, axis, 0], edges[:, axis - 1, 0])[0, 1]) < 0.2
            assert stats.kstest(((edges - low) / (high - low))[:, axis].ravel(), "uniform").pvalue > 1e-3
            assert stats.kstest(inside[:, axis].ravel(), "uniform").pvalue > 1e-3
            assert abs(np.corrcoef(inside[:, axis, 0], inside[:, axis - 1, 0])[0, 1]) < 0.2
        assert abs(np.corrcoef(inside[:-1, 0, 0], inside[1:, 0, 0])[0, 1]) < 0.2  # neighbouring seeds

    def test_toggles_take_the_randomness_away(self, browser):
        browser.click("#edges")
        browser.click("#values")
        q = browser.run("return pcrq.current().result.quantizers[0]")
        boundary = np.linspace(q["low"], q["high"], 31)
        np.testing.assert_allclose(q["edges"], boundary[1:-1])
        np.testing.assert_allclose(q["values"], (boundary[:-1] + boundary[1:]) / 2)
        browser.click("#draw")
        assert browser.run("return pcrq.current().result.quantizers[0]") == q

    def test_slider_changes_numbers_and_picture_of_the_quantized_cloud_only(self, browser):
        assert text(browser, "heading") == "Quantized, 30 bins"
        seen, numbers, untouched = set(), [], picture(browser, "original")
        for key, bins in ((HOME, 1), (RIGHT, 2), (END, 64)):
            browser.press("#bins", key)
            assert text(browser, "count") == str(bins)
            numbers.append(int(text(browser, "after").split()[0].replace(",", "")))
            seen.add(picture(browser, "quantized"))
        assert numbers[0] == 1 < numbers[1] <= 8 < numbers[2]
        assert len(seen) == 3
        assert picture(browser, "original") == untouched

    def test_button_draws_anew_and_the_address_repeats_a_draw(self, browser):
        first = picture(browser, "quantized"), text(browser, "after")
        browser.click("#draw")
        second = picture(browser, "quantized"), text(browser, "after")
        assert first[0] != second[0]
        address = browser.run("return location.href")
        assert "seed=1" in address
        browser.visit(address)
        assert (picture(browser, "quantized"), text(browser, "after")) == second
        browser.visit(address.replace("seed=1", "seed=0"))
        assert (picture(browser, "quantized"), text(browser, "after")) == first

    def test_nonsense_in_the_address_is_ignored(self, browser, page):
        browser.visit(page + "#shape=nothing&bins=-3&seed=pi&edges=7")
        assert text(browser, "heading") == "Quantized, 30 bins"
        assert browser.run("return [pcrq.state.seed, pcrq.state.edges]") == [0, True]

    def test_preset_buttons_set_the_bins(self, browser):
        browser.click("#presets button")
        assert text(browser, "heading") == "Quantized, 5 bins"

    @pytest.mark.parametrize(("red", "blue", "seen"), [(0.5, -0.5, 0), (-0.5, 0.5, 2)])
    def test_nearer_points_hide_farther_ones(self, browser, red, blue, seen):
        middle = browser.run(
            "const { azimuth, elevation } = pcrq.camera, level = Math.cos(elevation);"
            "const near = [level * Math.sin(azimuth), Math.sin(elevation), level * Math.cos(azimuth)];"
            "const points = [...near.map((x) => arguments[0] * x), ...near.map((x) => arguments[1] * x)];"
            "const canvas = document.getElementById('original');"
            "pcrq.drawCloud(canvas, points, [255, 0, 0, 0, 0, 255], 0.1);"
            "return [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]",
            *(red, blue),
        )
        assert middle[seen] > 100
        assert middle[2 - seen] == 0

    def test_dragging_one_cloud_turns_both_and_double_click_returns(self, browser):
        before = [picture(browser, name) for name in ("original", "quantized")]
        browser.drag("#original", 60, 20)
        turned = [picture(browser, name) for name in ("original", "quantized")]
        assert turned[0] != before[0]
        assert turned[1] != before[1]
        browser.run("document.getElementById('quantized').dispatchEvent(new MouseEvent('dblclick'))")
        assert [picture(browser, name) for name in ("original", "quantized")] == before

    def test_menu_shows_another_shape_with_its_parts(self, browser):
        browser.press("#shape", "parts")
        assert text(browser, "before").startswith("500 distinct points")
        assert text(browser, "legend") == "leftright"

    def test_names_from_outside_stay_text(self, browser):
        browser.run("location.hash = 'shape=' + encodeURIComponent(arguments[0])", HOSTILE)
        assert text(browser, "before").startswith("300 distinct points")
        assert browser.run("return document.getElementById('shape').selectedOptions[0].text") == HOSTILE
        assert browser.run("return [document.title, window.stolen]") == ["Ball <& co>", None]

    def test_no_request_leaves_the_page_and_nothing_fails(self, browser, page):
        browser.click("#draw")
        complaints = [entry for entry in browser.log("browser") if entry["level"] != "INFO"]
        assert complaints == []  # of this and all pages before
        events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
        asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
        own = ("chrome:", "about:", "data:")  # what the browser shows before the first page
        assert {address.split("#")[0] for address in asked if not address.startswith(own)} == {page}
