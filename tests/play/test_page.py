"""The page as a person uses it, in a browser without a screen: by keyboard and by click, in Japanese."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tane.play.server import Playground
from tane.tokens.encoder import Encoder
from tane.use.fill import fill_mask
from tests.play.conftest import SAID, Serve
from tests.play.test_clients import until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.example 127.0.0.1",
]  # fmt: skip
Open = Callable[..., Any]
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    named = os.environ.get("TANE_TEST_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)}, and TANE_TEST_CHROMIUM is not set")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """visit(PLAYGROUND, ...): its page in a tab of its own; any complaint of the browser is a failure."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def opened(playground: Playground, *, token: bool = True, locale: str = "ja-JP", **options: Any) -> Any:
        context = browser.new_context(locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: complaints.extend(complaint(said)))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda shown: complaints.append(f"dialog: {shown.message}"))

        def asked(request: Any) -> None:
            if not request.url.startswith((f"{playground.origin}/", "data:")):
                complaints.append(f"asked {request.url}")

        page.on("request", asked)
        page.goto(playground.address if token else playground.origin)
        if token:
            page.wait_for_selector("[role=tab]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def fillers(masked: Path, unigram: Path) -> Iterator[Playground]:
    playground = Playground([str(masked), str(unigram)], port=0)
    playground.start()
    yield playground
    playground.close()


def comes(page: Any, script: str) -> None:
    """Wait until something holds in the page; its policy forbids the browser's own way, which is eval."""
    until(lambda: page.evaluate(script))


def complaint(said: Any) -> list[str]:
    """What the console says, but for the replies that refuse, which the page itself tells of."""
    refused = said.text.startswith("Failed to load resource: the server responded with a status of 4")
    return [said.text] if said.type in ("error", "warning") and not refused else []


def texts(page: Any, selector: str) -> list[str]:
    found: list[str] = page.locator(selector).all_inner_texts()
    return found


# ------------------------------------------------------------------------------------------- generating


def test_a_text_is_written_by_keyboard_alone(serve: Serve, says: Path, visit: Open) -> None:
    page = visit(serve(says))
    page.fill("#max_new_tokens", "300")
    for _ in range(20):
        if page.evaluate("document.activeElement.id") == "prompt":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("秋の朝、猫は")
    assert page.input_value("#prompt") == "秋の朝、猫は"
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".state:has-text('文章が終わりました')")
    # the model says markup: it is shown, and does nothing
    assert texts(page, ".text") == [SAID]
    assert page.locator("main script, main img").count() == 0 and page.title() == "tane play"
    assert re.search(r"\d+ トークン · .*毎秒 .*乱数の種 \d+", texts(page, ".state")[0])
    assert page.evaluate("document.documentElement.lang") == "ja"
    assert page.get_attribute(".text", "aria-live") == "polite"


@pytest.mark.parametrize("by", ["click", "key"])
def test_a_text_is_stopped(serve: Serve, talks: Path, visit: Open, by: str) -> None:
    playground = serve(talks)
    page = visit(playground)
    page.fill("#prompt", "むかし")
    page.fill("#max_new_tokens", "4000")
    page.click("#go")
    comes(page, "document.querySelector('.text')?.textContent.length > 10")
    page.click("#stop") if by == "click" else page.keyboard.press("Escape")
    page.wait_for_selector(".state:has-text('止めました')")
    until(lambda: playground.decoding.ended == 1)
    kept = texts(page, ".text")[0]
    assert kept.startswith("むかし") and page.is_disabled("#stop")
    page.fill("#max_new_tokens", "3")  # and the next one is written as ever
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".state:has-text('上限に達しました')")


def test_two_models_write_side_by_side(writers: Playground, visit: Open) -> None:
    page = visit(writers)
    page.fill("#max_new_tokens", "40")
    page.uncheck("#vary")
    page.fill("#seed", "5")
    page.click("#go")
    page.wait_for_selector("#written article:nth-child(1) .state:has-text('乱数の種 5')")
    page.wait_for_selector("#written article:nth-child(2) .state:has-text('乱数の種 5')")
    assert texts(page, "#written h2") == [player.name for player in writers.players]
    boxes = [one.bounding_box() for one in page.locator("#written article").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]


def test_a_prompt_that_is_cut_and_settings_that_are_wrong(serve: Serve, short: Path, visit: Open) -> None:
    playground = serve(short)
    page = visit(playground)
    page.fill("#prompt", "秋には葉が落ちます。" * 20)
    page.click("#go")
    page.wait_for_selector(".state:has-text('終わりの 32 トークンだけを読みました')")
    before = playground.decoding.started
    page.fill("#top_p", "7")
    page.click("#go")
    assert page.evaluate("document.activeElement.id") == "top_p"  # the browser names it
    page.fill("#top_p", "0.9")
    page.fill("#prompt", "あ" * 400_000)
    page.click("#go")
    page.wait_for_selector("#fault:has-text('長すぎます')")
    assert playground.decoding.started == before


# ---------------------------------------------------------------------------------------------- filling


def test_words_are_hidden_and_filled_by_click_and_by_key(
    fillers: Playground, masked: Path, unigram: Path, visit: Open
) -> None:
    page = visit(fillers)
    page.click("#sentence")
    page.keyboard.press("Control+a")
    page.keyboard.type("秋には葉が木から落ちます。")
    cut = "[...document.querySelectorAll('#words > *')].map((one) => one.textContent).join('')"
    comes(page, f"{cut} === '秋には葉が木から落ちます。'")
    page.click("button.word:text-is('葉')")
    page.wait_for_selector("#filled .bars li")
    expected = [shown(fill_mask(folder, "秋には[MASK]が木から落ちます。")) for folder in (masked, unigram)]
    comes(page, "document.querySelectorAll('#filled li').length === 10")
    assert texts(page, "#filled .name") == [*expected[0], *expected[1]]
    assert texts(page, "#filled h3") == ["隠した語：葉"] * 2

    page.focus("button.word:text-is('木')")
    page.keyboard.press("Enter")
    comes(page, "document.querySelectorAll('#filled li').length === 20")
    both = shown(fill_mask(masked, "秋には[MASK]が[MASK]から落ちます。"))
    assert texts(page, "#filled article:first-child .name") == both
    assert page.get_attribute("button.word:text-is('木')", "aria-pressed") == "true"
    page.keyboard.press("Space")
    comes(page, "document.querySelectorAll('#filled li').length === 10")
    assert page.get_attribute("button.word:text-is('木')", "aria-pressed") == "false"
    page.click("button.word:text-is('葉')")
    comes(page, "document.querySelectorAll('#filled li').length === 0")

    page.fill("#sentence", "犬は＿が好き。")
    page.wait_for_selector(".word.mask:text-is('＿')")
    page.wait_for_selector("#filled li")
    assert texts(page, "#filled article:first-child .name") == shown(fill_mask(masked, "犬は＿が好き。"))
    page.fill("#fills", "2")
    page.check("#whole")
    comes(page, "document.querySelectorAll('#filled li').length === 4")
    found = shown(fill_mask(masked, "犬は＿が好き。", top_k=2, whole_word=True))
    assert texts(page, "#filled article:first-child .name") == found


def shown(result: Any) -> list[str]:
    """The fills of all masks, as they stand in the page."""
    return [fill["token"] for row in result.metrics["fills"] for fill in row]


# ------------------------------------------------------------------------------- labels, tokens, the page


def test_labels_with_scores(serve: Serve, labels: Path, visit: Open) -> None:
    page = visit(serve(labels), locale="en-GB")
    page.fill("#text", "猫 が 走る")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#labelled .verdict")
    assert sorted(texts(page, "#labelled .name")) == sorted(["悪い", "普通", "良い"])
    shares = [float(share.rstrip(" %")) for share in texts(page, "#labelled .share")]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 100) < 0.5
    assert texts(page, "#labelled .verdict") == texts(page, "#labelled .name")[:1]
    page.fill("#text", "猫 " * 100)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#labelled .state:has-text('its end was cut off')")


def test_tokens_with_borders_and_ids(fillers: Playground, masked: Path, visit: Open) -> None:
    page = visit(fillers)
    page.click("#tab-tokens")
    text = "秋には赤い葉が落ちます。"
    page.fill("#cut", text)
    ids = Encoder(masked).encode_batch([text])[0].tolist()
    row = "#tokenized article:first-child"
    page.wait_for_selector(f"{row} .state:has-text('{len(ids)} トークン · {len(text)} 文字')")
    found = [one.get_attribute("title") for one in page.locator(f"{row} .token").all()]
    assert found == [str(number) for number in ids]
    assert 1 < page.locator(f"{row} .group").count() <= len(ids)
    page.hover(f"{row} .token >> nth=1")
    page.wait_for_selector(f"{row} .state:has-text('トークン {ids[1]}：')")
    page.focus(f"{row} .token >> nth=0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{row} .state:has-text('トークン {ids[2]}：')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(fillers: Playground, writers: Playground, visit: Open, scheme: str) -> None:
    grounds = set()
    for playground in (fillers, writers):
        page = visit(playground, viewport=PHONE, color_scheme=scheme)
        for tab in page.locator("[role=tab]").all():
            tab.click()
            page.evaluate("document.querySelector('details').open = true")
            if tab.get_attribute("id") == "tab-generate":
                page.fill("#prompt", "あ" * 300 + "a" * 300)
                page.click("#go")
                page.wait_for_selector("#written .state:has-text('トークン')")
            elif tab.get_attribute("id") == "tab-fill":
                page.fill("#sentence", "あ" * 100 + "a" * 200 + "[MASK]")
                page.wait_for_selector("#filled li")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 1
    red = int(re.findall(r"\d+", grounds.pop())[0])
    assert red > 200 if scheme == "light" else red < 50


def test_tabs_and_language_by_key(fillers: Playground, visit: Open) -> None:
    page = visit(fillers, locale="en-US")
    assert texts(page, "[role=tab]") == ["Fill in", "Tokens"]
    page.focus("#tab-fill")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#tokens") and not page.is_visible("#fill")
    assert page.get_attribute("#tab-tokens", "aria-selected") == "true"
    page.focus("#language")
    page.keyboard.press("Enter")
    assert texts(page, "[role=tab]") == ["穴を埋める", "トークン"]
    assert page.evaluate("document.documentElement.lang") == "ja"


def test_the_token_is_kept_by_the_tab_and_shown_nowhere(fillers: Playground, visit: Open) -> None:
    page = visit(fillers)
    assert page.url == f"{fillers.origin}/"
    page.reload()
    page.wait_for_selector("[role=tab]")
    assert page.evaluate("Object.keys(localStorage).length") == 0
    assert page.context.cookies() == []
    other = visit(fillers, token=False)
    other.wait_for_selector("#fault:has-text('表示したアドレスを開いてください')")
    assert other.locator("[role=tab]").count() == 0


# ------------------------------------------------------------------------ another site in the same browser

TRIES = """async ([origin, token]) => {
    const body = '{"prompt": "", "max_new_tokens": 1}', json = "application/json";
    const tries = [
        { mode: "no-cors", headers: { "Content-Type": "text/plain" } },
        { mode: "no-cors", headers: { "Content-Type": json, "X-Tane-Token": token } },
        { headers: { "Content-Type": json, "X-Tane-Token": token } },
    ];
    const read = (one) => fetch(`${origin}/api/generate`, { ...one, method: "POST", body })
        .then((answer) => answer.text()).catch(() => "");
    const found = [];
    for (const one of tries) found.push(await read(one));
    found.push(await fetch(`${origin}/app.js`).then((answer) => answer.text()).catch(() => ""));
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", action: `${origin}/api/generate`, target: "frame" });
    document.body.append(form);
    form.submit();
    return found;
}"""


def test_another_site_gets_nothing_even_with_the_token(writers: Playground, browser: Any) -> None:
    before, refused = writers.decoding.started, writers.guard.refused
    html = f"<iframe name=frame></iframe><iframe src='{writers.origin}/'></iframe>"
    html += f"<script src='{writers.origin}/texts.js'></script>"

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://other.example:{site.server_port}/")
        assert page.evaluate(TRIES, [writers.origin, writers.token]) == [""] * 4
        until(lambda: writers.guard.refused >= refused + 4)  # they came as far as the guard, the form too
        assert page.evaluate("typeof TEXTS") == "undefined"
        rebound = page.goto(f"http://rebound.example:{writers.port}/?token={writers.token}")
        assert rebound.status == 403 and page.locator("#prompt").count() == 0
        context.close()
        site.shutdown()
    assert writers.decoding.started == before
