"""The page for browsers, clicked through by Chromium. Screenshots stay beside the binary."""

import base64
import hashlib
import json
import pathlib
import re
import shutil
import urllib.request

import pytest

from sparsed_server import BINARY, Server, long_request

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    webdriver = None
# Ubuntu has Chromium as a snap alone, which a script cannot install everywhere.
pytestmark = pytest.mark.skipif(
    not (webdriver and CHROMIUM and DRIVER),
    reason="no chromium, chromium-driver or python3-selenium: deploy/install-packages.sh test")

SHOTS = pathlib.Path(BINARY).parents[1] / "playground"
SCREENS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 375)]
QUESTION = "What is 3 + 6671?"


class Page:
    """The playground of a server in a browser, and what somebody does with it."""

    def __init__(self, browser, server):
        self.browser = browser
        self.port = server.http_port
        self.look("light", 1280)
        browser.get(f"http://127.0.0.1:{self.port}/")

    def look(self, scheme, width):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})

    def id(self, name):
        return self.browser.find_element(By.ID, name)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)",
            selector)

    def write(self, **fields):
        """Values by the fields' ids, `_` for `-`."""
        for name, value in fields.items():
            field = self.id(name.replace("_", "-"))
            if field.tag_name == "select":
                Select(field).select_by_value(value)
            else:
                field.clear()
                field.send_keys(value)

    def wait(self, condition, what):
        WebDriverWait(self.browser, 30, 0.02).until(lambda _: condition(), what)

    def wait_until_done(self):
        self.wait(lambda: self.id("go").is_enabled(), "the answer does not end")

    def answer(self):
        self.id("go").click()
        self.wait_until_done()
        assert not self.id("error").is_displayed(), self.id("error").text

    def mode(self, name):
        self.browser.find_element(By.CSS_SELECTOR, f"input[value={name}]").click()

    def open_options(self):
        self.browser.find_element(By.CSS_SELECTOR, "#options summary").click()

    def ask(self, path, body):
        """What a client of OpenAI's interface gets."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/{path}",
                                         json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def shoot(self, name):
        """A picture in each colour scheme and width; everything must fit the width."""
        SHOTS.mkdir(exist_ok=True)
        papers = {}
        for scheme, width in SCREENS:
            self.look(scheme, width)
            needed, height, papers[scheme] = self.browser.execute_script(
                "const root = document.documentElement; return [root.scrollWidth,"
                " root.scrollHeight, getComputedStyle(document.body).backgroundColor]")
            assert needed <= width, (name, scheme, width)
            picture = self.browser.execute_cdp_cmd("Page.captureScreenshot", {
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
            (SHOTS / f"{name}-{scheme}-{width}.png").write_bytes(
                base64.b64decode(picture["data"]))
        assert papers["light"] != papers["dark"]
        self.look("light", 1280)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(DRIVER), options=options)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def server():
    with Server("--http-address", "127.0.0.1:0", "--playground") as running:
        yield running


@pytest.fixture
def page(browser, server):
    made = Page(browser, server)
    yield made
    # Nothing is blocked, and no script fails; that a request was refused is told, too.
    refused = re.compile(r"the server responded with a status of 4\d\d")
    assert [line["message"] for line in browser.get_log("browser")
            if line["level"] == "SEVERE" and not refused.search(line["message"])] == []


def test_chat_canvas_and_scrubber(page):
    page.wait(lambda: page.id("model").text == "nano", "no model")
    page.open_options()
    page.write(message=QUESTION, max_tokens="32", steps="8", seed="1")
    page.id("message").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait_until_done()
    expected = page.ask("chat/completions", {
        "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 32, "seed": 1,
        "diffusion": {"steps": 8, "token_confidences": True}})
    answer = expected["choices"][0]["message"]["content"]
    tokens = expected["diffusion"]["tokens"]
    assert page.texts("#turns li") == [QUESTION, answer] and answer
    assert page.texts(".text") == [answer]
    assert re.match(r"32 tokens in [\d.]+ s; [\d.]+ tokens/s; 8 full, 0 select, 0 sparse steps; "
                    r"seed 1$", page.texts(".stats")[0])
    assert len(page.all(".cell")) == 32 and not page.all(".cell.masked")

    # By the keyboard alone: the scrubber, and from token to token.
    scrubber = page.browser.find_element(By.CSS_SELECTOR, ".scrub input")
    for keys, step in [(Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT, 2)]:
        scrubber.send_keys(keys)
        assert page.texts(".scrub output") == [f"{step} of 8"]
        done = sum(token["commit_step"] < step for token in tokens)
        assert len(page.all(".canvas .cell.done")) == done
        assert len(page.all(".canvas .cell.masked")) == 32 - done
    scrubber.send_keys(Keys.END)
    canvas = page.browser.find_element(By.CSS_SELECTOR, ".canvas")
    for at in range(2):
        canvas.send_keys(Keys.ARROW_RIGHT)
        token = tokens[at]
        assert page.texts(".detail") == [
            f"Position {at + 1} of 32, {json.dumps(token['text'])} (token {token['id']}), "
            f"committed in step {token['commit_step'] + 1}, confidence {token['confidence']:.3f}"]

    # The conversation goes on, until a new one is begun.
    page.write(message="What is 2 + 2?")
    page.answer()
    assert len(page.all("#turns li")) == 4
    page.shoot("chat")
    page.id("forget").click()
    assert not page.all("#turns li")


def test_prompt_and_infill(page):
    page.mode("prompt")
    page.open_options()
    page.write(prompt="The river", max_tokens="32", steps="8", seed="1")
    page.answer()
    plain = page.ask("completions", {"prompt": "The river", "max_tokens": 32, "seed": 1,
                                     "diffusion": {"steps": 8}})
    assert page.texts(".text") == [plain["choices"][0]["text"]] != [""]

    # The arrow keys of a radio group, as by a keyboard.
    page.browser.find_element(By.CSS_SELECTOR, "input[value=prompt]").send_keys(Keys.ARROW_RIGHT)
    assert page.id("before").is_displayed() and not page.id("prompt").is_displayed()
    page.write(before="The old ", behind=" is by the river.", max_tokens="8")
    page.answer()
    hole = page.ask("completions", {"prompt": "The old ", "suffix": " is by the river.",
                                    "max_tokens": 8, "seed": 1})
    assert page.texts(".text") == [hole["choices"][0]["text"]] != [""]
    assert page.texts(".fixed") == ["The old ", " is by the river."]
    assert len(page.all(".cell")) == 8
    page.shoot("infill")


def test_full_and_sparse_side_by_side(page):
    text = "The river flows through the old town and the people stand at its banks. " * 12
    options = {"max_tokens": 64, "seed": 3}
    diffusion = {"steps": 32, "stop_at_end": False, "token_confidences": True}
    pruned = {"select": 0.1, "skip": 0.1, "block_size": 32}
    page.mode("prompt")
    page.open_options()
    page.browser.execute_script("arguments[0].value = arguments[1]", page.id("prompt"), text)
    page.write(max_tokens="64", steps="32", seed="3", select="0.1", skip="0.1", block_size="32")
    page.id("stop-at-end").click()
    page.id("compare").click()
    page.answer()
    ids = []
    for sparse in ({"mode": "off"}, {"mode": "sparsed", **pruned}):
        report = page.ask("completions", {"prompt": text, **options, "diffusion": {
            **diffusion, "sparse": sparse}})["diffusion"]
        ids.append([token["id"] for token in report["tokens"]])
    differing = sum(one != other for one, other in zip(*ids))
    assert 0 < differing < 64
    assert page.id("differences").text == f"{differing} of 64 tokens differ"
    assert [len(panel.find_elements(By.CSS_SELECTOR, ".cell.differs"))
            for panel in page.all(".panel")] == [differing, differing]
    full, sparse = page.texts(".stats")
    assert "32 full, 0 select, 0 sparse steps" in full and "density" not in full
    assert re.search(r" [1-9]\d* sparse steps; density 0\.\d+; seed 3$", sparse)
    page.shoot("compare")


def test_errors_are_shown_at_their_fields(page):
    page.open_options()
    page.write(message=QUESTION, max_tokens="32", block_length="8", steps="5", temperature="warm")
    page.id("go").click()
    page.wait(lambda: page.id("error").is_displayed(), "no error")
    # What is no request at all is found first.
    assert page.texts(".wrong") == ["is not of type float"]
    assert page.id("temperature").get_attribute("aria-invalid") == "true"
    page.write(temperature="-1")
    page.id("go").click()
    page.wait(lambda: len(page.all(".wrong")) == 2, "not both are told")
    for name, said in [("steps", "5 is not divisible by the number of decoding blocks 4"),
                       ("temperature", "-1 is not a number from 0 to 100")]:
        field = page.id(name)
        assert field.get_attribute("aria-invalid") == "true"
        assert page.id(field.get_attribute("aria-describedby")).text == said
        assert said in page.id("error").text
    assert page.browser.switch_to.active_element.get_attribute("aria-invalid") == "true"
    page.shoot("error")
    page.write(steps="8", temperature="0")
    page.answer()
    assert not page.all("[aria-invalid]") and page.texts("#turns li")[0] == QUESTION


def test_a_live_canvas_and_stopping(page, server):
    page.mode("prompt")
    page.open_options()
    page.browser.execute_script("arguments[0].value = arguments[1]", page.id("prompt"),
                                long_request().prompt)
    page.write(max_tokens="512", steps="512")
    page.id("stop-at-end").click()
    page.id("go").click()
    page.wait(lambda: page.all(".cell.done"), "no frame")
    assert page.all(".cell.masked") and re.fullmatch(r"step \d+", page.texts(".stats")[0])
    page.browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    page.wait_until_done()
    assert page.texts(".stats") == ["stopped"] and not page.id("error").is_displayed()
    server.wait_until_idle(10)


def test_nothing_inline_runs(page):
    assert page.browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        "document.body.append(script); return window.ran === undefined")
    blocked = [line["message"] for line in page.browser.get_log("browser")]
    assert any("Content Security Policy" in message for message in blocked)


def test_a_token_is_asked_for(browser, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("me:" + hashlib.sha256(b"secret").hexdigest() + "\n")
    with Server("--http-address", "127.0.0.1:0", "--playground", "--auth-token-file",
                str(tokens)) as guarded:
        page = Page(browser, guarded)
        page.wait(lambda: page.id("token").is_displayed(), "no field for the token")
        page.write(max_tokens="8")
        page.id("go").click()
        page.wait(lambda: page.id("error").is_displayed(), "let in without a token")
        page.write(token="secret" + Keys.TAB)
        page.wait(lambda: page.id("model").text == "nano", "not let in")
        page.answer()
        assert len(page.all("#turns li")) == 2
