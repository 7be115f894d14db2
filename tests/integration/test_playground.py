"""The page for browsers, clicked through by Chromium. Screenshots stay beside the binary."""

import base64
import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import urllib.error
import urllib.request

import pytest

from sparsed_server import BINARY, Server, g
from sparsed.v1 import inspection_pb2 as i

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = None
RELEASE = pathlib.Path("/etc/os-release").read_text()
# deploy/install-packages.sh installs all three on Debian; Ubuntu has Chromium as a snap alone.
pytestmark = pytest.mark.skipif(
    not re.search("^ID=debian$", RELEASE, re.M) and not (webdriver and CHROMIUM and DRIVER),
    reason="no chromium, chromium-driver or python3-selenium")

SHOTS = pathlib.Path(BINARY).parents[1] / "playground"
WIDE, PHONE = 1280, 390
SCREENS = [("light", PHONE), ("dark", PHONE), ("dark", WIDE), ("light", WIDE)]
QUESTION = "What is 3 + 6671?"
PROMPT = "The river flows through the old town and the people stand at its banks. " * 8
LEAST_CONTRAST = 4.5

# The texts that are read worst: [contrast, text], by WCAG's formula. What a disabled control says is
# exempt.
CONTRASTS = """
const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const mixed = new Map();
function mix(colours) {
  const key = colours.join();
  if (!mixed.has(key)) {
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    const parts = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    mixed.set(key, 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]);
  }
  return mixed.get(key);
}
function contrast(node, pseudo) {
  const papers = [];
  for (let at = node; at; at = at.parentElement) {
    papers.unshift(getComputedStyle(at).backgroundColor);
  }
  const paper = mix(papers);
  const ink = mix([...papers, getComputedStyle(node, pseudo).color]);
  return (Math.max(paper, ink) + 0.05) / (Math.min(paper, ink) + 0.05);
}
const found = [];
for (const node of document.body.querySelectorAll("*")) {
  if (!node.checkVisibility() || node.disabled) continue;
  if (node.placeholder) found.push([contrast(node, "::placeholder"), node.placeholder]);
  const text = node.matches("input, textarea") ? node.value
    : [...node.childNodes].map((child) => child.nodeValue ?? "").join("");
  if (!text.trim() || ["radio", "checkbox", "range"].includes(node.type)) continue;
  found.push([contrast(node, null), text.trim()]);
}
return found.sort((a, b) => a[0] - b[0]).slice(0, 3);
"""


class Page:
    """The playground of a server in a browser, and what somebody does with it."""

    def __init__(self, browser, server):
        self.browser = browser
        self.port = server.http_port
        self.looks = None
        self.look("light", WIDE)
        browser.get(f"http://127.0.0.1:{self.port}/")

    def look(self, scheme, width, height=900):
        if self.looks == (scheme, width, height):
            return
        self.looks = scheme, width, height
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme},
                         {"name": "prefers-reduced-motion", "value": "reduce"}]})
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width == PHONE})

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
        self.browser.execute_script(
            "for (const [id, value] of Object.entries(arguments[0])) {"
            "  const field = document.getElementById(id.replaceAll('_', '-'));"
            "  if (!field.checkVisibility()) throw new Error(`${id} is hidden`);"
            "  field.value = value;"
            "  field.dispatchEvent(new Event('change', {bubbles: true})); }", fields)

    def wait(self, condition, what):
        WebDriverWait(self.browser, 30, 0.05).until(lambda _: condition(), what)

    def wait_until_done(self):
        self.wait(lambda: self.browser.execute_script(
            "return !document.getElementById('go').disabled"), "the answer does not end")

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
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}",
                                         json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stats(self, selector=".panel"):
        """The figures of each, by their names."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => Object.fromEntries("
            "[...one.querySelectorAll('.stats div')].map((pair) => ["
            "pair.children[0].textContent, pair.children[1].textContent])))", selector)

    def shoot(self, name, screens=SCREENS):
        """Everything must fit the width and be readable, on every screen; pictures of some."""
        SHOTS.mkdir(exist_ok=True)
        papers = {}
        for scheme, width in SCREENS:
            self.look(scheme, width)
            needed, height, papers[scheme] = self.browser.execute_script(
                "const root = document.documentElement; return [root.scrollWidth,"
                " root.scrollHeight, getComputedStyle(document.body).backgroundColor]")
            assert needed <= width, (name, scheme, width)
            worst = self.browser.execute_script(CONTRASTS)
            assert worst[0][0] >= LEAST_CONTRAST, (name, scheme, width, worst)
            if (scheme, width) not in screens:
                continue
            self.look(scheme, width, height)
            picture = self.browser.execute_cdp_cmd("Page.captureScreenshot", {
                "optimizeForSpeed": True})
            path = SHOTS / f"{name}-{scheme}-{width}.png"
            path.write_bytes(base64.b64decode(picture["data"]))
            print(path)
        assert papers["light"] != papers["dark"]
        self.look("light", WIDE)


def start_browser(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox: tests may run as root, and the page is our own.
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", "--hide-scrollbars", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update",
                 f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service(DRIVER), options=options)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A browser, a server with everything, and one that asks for a token and shows no patterns."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("me:" + hashlib.sha256(b"secret").hexdigest() + "\n")
    http = ["--http-address", "127.0.0.1:0", "--playground"]
    with contextlib.ExitStack() as stack:
        # They all start at once.
        servers = [Server(*http, "--enable-inspection"),
                   Server(*http, "--auth-token-file", str(tokens))]
        for one in servers:
            stack.callback(one.process.kill)
        driver = start_browser(tmp_path_factory.mktemp("chromium"))
        stack.callback(driver.quit)
        yield driver, *[stack.enter_context(one) for one in servers]


@pytest.fixture(scope="module")
def browser(started):
    return started[0]


@pytest.fixture(scope="module")
def server(started):
    return started[1]


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
    page.write(message=QUESTION, max_tokens="16", steps="8", seed="1")
    page.id("message").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait_until_done()
    expected = page.ask("v1/chat/completions", {
        "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 16, "seed": 1,
        "diffusion": {"steps": 8, "token_confidences": True}})
    answer = expected["choices"][0]["message"]["content"]
    tokens = expected["diffusion"]["tokens"]
    assert page.texts("#turns li") == [QUESTION, answer] and answer
    assert page.texts(".text") == [answer]
    stats, = page.stats()
    assert stats.keys() == {"tokens/s", "time", "steps"} and stats["steps"] == "8"
    seconds = float(stats["time"].removesuffix(" s"))
    # Both are rounded: the time to hundredths of a second, the rate to tenths.
    assert 16 / float(stats["tokens/s"]) == pytest.approx(seconds, rel=0.01, abs=0.006)
    assert page.texts(".panel .state") == ["16 tokens, seed 1, all steps full"]
    assert len(page.all(".canvas .cell")) == 16 and not page.all(".canvas .cell.masked")

    # Colours: the hue by the step, or the strength by the confidence, or both.
    cells = "return [...document.querySelectorAll('.canvas .cell')].map((cell) => " \
            "getComputedStyle(cell).backgroundColor)"
    for name, fields in [("both", ["commit_step", "confidence"]), ("step", ["commit_step"]),
                         ("sure", ["confidence"])]:
        page.browser.find_element(By.CSS_SELECTOR, f"input[value={name}]").click()
        colours = page.browser.execute_script(cells)
        kinds = [tuple(token[field] for field in fields) for token in tokens]
        assert len(set(colours)) > 1
        for kind in set(kinds):
            assert len({colour for colour, one in zip(colours, kinds) if one == kind}) == 1
        assert len(set(colours)) >= len({tuple(round(part, 2) for part in one) for one in kinds})
    page.browser.find_element(By.CSS_SELECTOR, "input[value=both]").click()

    # By the keyboard alone: the scrubber, and from token to token.
    scrubber = page.browser.find_element(By.CSS_SELECTOR, ".scrub input")
    for keys, step in [(Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT, 2)]:
        scrubber.send_keys(keys)
        assert page.texts(".scrub output") == [f"{step} of 8"]
        done = sum(token["commit_step"] < step for token in tokens)
        assert len(page.all(".canvas .cell.done")) == done
        assert len(page.all(".canvas .cell.masked")) == 16 - done
    page.browser.find_element(By.CSS_SELECTOR, ".replay").send_keys(Keys.ENTER)
    page.wait(lambda: "1 of 8" <= page.texts(".scrub output")[0] < "8 of 8", "no replay")
    scrubber.send_keys(Keys.END)
    assert page.texts(".scrub output") == ["8 of 8"]
    canvas = page.browser.find_element(By.CSS_SELECTOR, ".canvas")
    for at in range(2):
        canvas.send_keys(Keys.ARROW_RIGHT)
        token = tokens[at]
        assert page.texts(".panel .detail") == [
            f"Position {at + 1} of 16, {json.dumps(token['text'])} (token {token['id']}), "
            f"committed in step {token['commit_step'] + 1}, confidence {token['confidence']:.3f}"]

    # The conversation goes on, until a new one is begun.
    page.write(message="What is 2 + 2?")
    page.answer()
    assert len(page.all("#turns li")) == 4
    page.shoot("chat", [("light", WIDE), ("dark", PHONE)])
    page.id("forget").click()
    assert not page.all("#turns li")


def test_prompt_and_infill(page):
    page.mode("prompt")
    page.write(prompt="The river", max_tokens="16", steps="8", seed="1")
    page.answer()
    plain = page.ask("v1/completions", {"prompt": "The river", "max_tokens": 16, "seed": 1,
                                     "diffusion": {"steps": 8}})
    assert page.texts(".text") == [plain["choices"][0]["text"]] != [""]

    # The arrow keys of a radio group, as by a keyboard.
    page.browser.find_element(By.CSS_SELECTOR, "input[value=prompt]").send_keys(Keys.ARROW_RIGHT)
    assert page.id("before").is_displayed() and not page.id("prompt").is_displayed()
    page.write(before="The old ", behind=" is by the river.", max_tokens="8")
    page.answer()
    hole = page.ask("v1/completions", {"prompt": "The old ", "suffix": " is by the river.",
                                    "max_tokens": 8, "seed": 1})
    assert page.texts(".text") == [hole["choices"][0]["text"]] != [""]
    assert page.texts(".fixed") == ["The old ", " is by the river."]
    assert len(page.all(".canvas .cell")) == 8
    page.shoot("infill", [("light", WIDE), ("light", PHONE)])


def test_full_and_sparse_side_by_side(page):
    page.mode("prompt")
    page.open_options()
    page.write(prompt=PROMPT, max_tokens="32", steps="8", seed="3", select="0.1", skip="0.1",
               block_size="32")
    page.id("stop-at-end").click()
    page.id("compare").click()
    page.answer()
    cells = page.texts(".canvas .cell")
    assert len(cells) == 64
    differing = [one != other for one, other in zip(cells[:32], cells[32:])]
    assert page.browser.execute_script(
        "return [...document.querySelectorAll('.canvas .cell')].map("
        "(cell) => cell.classList.contains('differs'))") == 2 * differing
    differing = sum(differing)
    assert 0 < differing < 32
    assert re.fullmatch(rf"{differing} of 32 tokens differ, underlined; SparseD took [\d.]+ of the time",
                        page.id("differences").text)
    full, sparse = page.stats()
    assert full["steps"] == "8" and "blocks kept" not in full
    assert page.texts(".panel .state") == [
        "32 tokens, seed 3, all steps full",
        "32 tokens, seed 3, 1 full, 1 select, 6 sparse steps"]
    assert 10 < float(sparse["blocks kept"].removesuffix(" %")) < 60
    # Both are shown at the same step.
    page.browser.find_element(By.CSS_SELECTOR, ".scrub input").send_keys(Keys.ARROW_LEFT)
    assert page.texts(".scrub output") == ["7 of 8", "7 of 8"]
    page.browser.find_element(By.CSS_SELECTOR, ".scrub input").send_keys(Keys.ARROW_RIGHT)
    page.shoot("compare", [("light", WIDE), ("dark", WIDE), ("light", PHONE)])


def inspected(server, steps):
    """What gRPC tells of the request that the page makes."""
    call = server.client.channel.unary_stream(
        "/sparsed.v1.InspectionService/Inspect", i.InspectRequest.SerializeToString,
        i.InspectResponse.FromString)
    return list(call(i.InspectRequest(steps=steps, importance=True, request=g.GenerateRequest(
        prompt=PROMPT, sampling=g.SamplingOptions(gen_length=32, steps=8, seed=3),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, block_size=32)))))


def test_patterns_by_layer_and_head(page, server):
    page.mode("prompt")
    page.open_options()
    page.write(prompt=PROMPT, max_tokens="32", steps="8", seed="3", block_size="32",
               sparse_mode="sparsed")
    page.wait(lambda: page.id("inspect").is_displayed(), "no patterns")
    page.id("inspect").click()
    page.answer()

    started, *heads, final = inspected(server, [4, 7])
    blocks, select = started.started.blocks, started.started.select_step
    heads = [event.head for event in heads if event.HasField("head")]
    assert page.texts(".steps label") == [
        f"{step} selects" if step == select else str(step) for step in started.started.steps]
    density, recall = final.final.sparse.density, final.final.sparse.recall
    assert page.texts("#patterns .state") == [
        f"{blocks} x {blocks} blocks of 32 tokens; selected in step {select}, counted from 0; "
        f"{100 * density:.1f} % of the blocks kept; mean recall {recall:.3f}"]
    for step in started.started.steps:
        page.browser.find_element(By.CSS_SELECTOR, f".steps input[value='{step}']").click()
        assert page.texts(".recall") == [f"{one.recall:.2f}" for one in heads if one.step == step]
    page.browser.find_element(By.CSS_SELECTOR, f".steps input[value='{select}']").click()

    # One of them large, by the keyboard; its pixels are blue where a block is kept.
    grid = page.browser.find_element(By.CSS_SELECTOR, ".heads")
    grid.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert page.texts("#patterns .name") == ["Layer 2, head 1"]
    head, = [one for one in heads if (one.step, one.layer, one.head) == (select, 2, 1)]
    width = (blocks + 7) // 8
    kept = [head.kept[q * width + k // 8] >> k % 8 & 1 for q in range(blocks)
            for k in range(blocks)]
    pixels = page.browser.execute_script(
        "const map = document.querySelector('.map canvas'); return [...map.getContext('2d')"
        ".getImageData(0, 0, map.width, map.height).data]")
    assert len(pixels) == 4 * blocks * blocks and 0 < sum(kept) < len(kept)
    shares = [32 * importance for importance in head.importance]
    for at, one in enumerate(kept):
        red, _, blue, _ = pixels[4 * at:4 * at + 4]
        # A dropped block of hardly any importance is as good as paper.
        assert (blue > red) == bool(one) or (not one and shares[at] < 0.001)
    facts, = page.stats("#patterns .head")
    assert facts == {"kept": f"{100 * sum(kept) / len(kept):.1f} %", "similarity": "1.000",
                     "recall": f"{head.recall:.3f}",
                     "fresh recall": f"{head.fresh_recall:.3f}"}
    large = page.browser.find_element(By.CSS_SELECTOR, ".map")
    large.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    at = blocks + 1
    assert page.texts("#patterns .detail") == [
        f"Query block 1, key block 1, {'kept' if kept[at] else 'dropped'}, "
        f"{100 * shares[at]:.1f} % of its row"]
    page.shoot("patterns", [("light", WIDE), ("dark", WIDE), ("light", PHONE)])


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
    page.shoot("error", [("light", PHONE)])
    # Of the patterns, too, whose request is another.
    page.id("inspect").click()
    page.write(steps="4", temperature="0", inspect_steps="3, 9", max_tokens="8", block_length="")
    page.id("go").click()
    page.wait(lambda: page.id("inspect-steps").get_attribute("aria-invalid") == "true", "no error")
    assert page.texts(".wrong") == ["9 is not below the 4 denoising steps"]
    page.id("inspect").click()
    page.answer()
    assert not page.all("[aria-invalid]") and page.texts("#turns li")[0] == QUESTION


def test_a_live_canvas_and_stopping(page, server):
    page.mode("prompt")
    page.open_options()
    page.write(prompt=PROMPT, max_tokens="512", steps="512")
    page.id("stop-at-end").click()
    page.id("go").click()
    page.wait(lambda: page.all(".cell.done"), "no frame")
    assert page.all(".cell.masked")
    assert re.fullmatch(r"step \d+ of 512", page.texts(".panel .state")[0])
    assert page.stats()[0].keys() == {"tokens/s", "committed"}
    page.browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    page.wait_until_done()
    assert page.texts(".panel .state") == ["stopped"] and not page.id("error").is_displayed()
    server.wait_until_idle(10)


def test_nothing_inline_runs_and_nothing_else_is_asked(page, server):
    page.wait(lambda: page.id("model").text == "nano", "no model")
    blocked = page.browser.execute_async_script("""
        const [elsewhere, done] = arguments;
        const blocked = new Set();
        document.addEventListener("securitypolicyviolation", (event) => {
          blocked.add(event.effectiveDirective);
          if (blocked.size === 4) done([...blocked]);
        });
        try { document.createElement("script").textContent = "1"; } catch { }
        document.head.append(document.createElement("style"));
        document.head.lastChild.append("body { color: red; }");
        document.body.append(new Image());
        document.body.lastChild.src = elsewhere;
        fetch(elsewhere).catch(() => {});""", f"http://127.0.0.1:{server.admin_port}/livez")
    page.browser.get_log("browser")
    assert sorted(blocked) == ["connect-src", "img-src", "require-trusted-types-for",
                               "style-src-elem"]
    fetched = page.browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)")
    own = [name for name in fetched if name.startswith(f"http://127.0.0.1:{page.port}/")]
    assert len(own) > 6
    assert set(fetched) - set(own) <= {f"http://127.0.0.1:{server.admin_port}/livez"}


def test_a_token_is_asked_for(browser, started):
    page = Page(browser, started[2])
    page.wait(lambda: page.id("token").is_displayed(), "no field for the token")
    page.write(max_tokens="8")
    page.id("go").click()
    page.wait(lambda: page.id("error").is_displayed(), "let in without a token")
    page.write(token="secret")
    page.wait(lambda: page.id("model").text == "nano", "not let in")
    page.answer()
    assert len(page.all("#turns li")) == 2
    # This one shows no patterns.
    assert not page.id("inspect").is_displayed()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page.ask("playground/inspect/completions", {"prompt": "The", "inspect": {}})
