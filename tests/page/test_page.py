"""What the page shows of a status, whatever is in it, and how it keeps up with the next one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.page import said
from tests.page.browser import Browser
from tests.page.stage import PAGE, Stage
from tests.support.process import eventually

HOSTILE = {
    "<img src=x onerror=document.title='owned'>": "<img src=x onerror=document.title='owned'>",
    "one\ntwo\r\u2028three": r"one\ntwo\u{d}\u{2028}three",
    "\u202egnp.exe\u200b": r"\u{202e}gnp.exe\u{200b}",
    "\u05e9\u05dc\u05d5\u05dd": "\u05e9\u05dc\u05d5\u05dd",
    "\ud800 & &lt;b&gt;</script>": r"\u{d800} & &lt;b&gt;</script>",
    "x" * 1024: "x" * 1024,
    "__proto__": "__proto__",
}
"""What somebody calls a container, and what is to be read."""

TALL = 20_000
"""Pixels; a screen on which everything is visible, for what is not is not laid out."""


def show(browser: Browser, stage: Stage, status: said.Json, **screen: Any) -> None:
    """Open the page on this status."""
    stage.status = status
    browser.open(stage.address, **screen)
    browser.await_text(str(status["host"]), "#host")


def hostile() -> said.Json:
    """A status in which every text is hostile."""
    found = []
    for number, text in enumerate(HOSTILE):
        topology = said.topology(number, "held", containers=1, networks=1)
        topology["reason"] = topology["ids"][0] = text
        for resource in topology["resources"]:
            resource["name"] = text
        found.append(topology)
    text = "".join(HOSTILE)
    return said.status(
        found,
        problems=[text],
        docker=said.side("Docker", up=False, reason=text, address=text),
        databases=[said.database(text)],
        reaps=[said.reap(1, 5, evidence=text, errors=[text])],
    )


# What it shows.


def test_each_state_is_a_word_and_a_shape_of_its_own(browser: Browser, stage: Stage) -> None:
    states = list(said.REASONS)
    show(browser, stage, said.status([said.topology(n, s) for n, s in enumerate(states)]))
    assert browser.texts("#topologies .state") == states
    shapes = browser.run("""
        return [...document.querySelectorAll('#topologies .state')].map(state => {
            const shape = getComputedStyle(state, '::before'), empty = 'rgba(0, 0, 0, 0)';
            return [shape.clipPath, shape.borderStyle, shape.borderRadius,
                    shape.borderRightColor === empty, shape.backgroundColor === empty].join();
        })
    """)
    assert len(set(shapes)) == len(states), shapes
    waiting, left = said.REASONS["waiting"], f"{said.REASONS['waiting']}, 18 s left"
    reasons = [left if reason == waiting else reason for reason in said.REASONS.values()]
    assert browser.texts("#topologies bdi") == reasons


def test_whatever_is_wrong_is_said_first_and_at_its_side(browser: Browser, stage: Stage) -> None:
    show(browser, stage, said.status([said.topology(1)]))
    assert browser.text("#overall") == "ready"
    assert browser.texts("#notices li, #held") == []

    status = said.everything()
    show(browser, stage, status)
    assert browser.text("#overall") == "degraded"
    assert browser.run("return document.title").startswith("degraded")
    assert browser.texts("#notices .state") == ["Degraded", "Problem", "Dry run"]
    assert status["state_reason"] in browser.text("#notices")
    assert status["problems"][1] in browser.text("#notices")
    docker, sqlite, mysql, _ = browser.texts("#sides > li")
    assert "up for" in docker
    assert "up for" in sqlite
    assert "down for" in mysql
    assert status["databases"][1]["reason"] in mysql


def test_what_is_held_comes_with_the_command_that_releases_it(
    browser: Browser, stage: Stage
) -> None:
    show(browser, stage, said.status([said.topology(7, "held"), said.topology(8)]))
    assert f"{said.REASONS['held']}: 00000007" in browser.text("#held")
    command = "topology-reaper sweep --confirm 1f2e3d4c5b6a"
    assert browser.text("#command") == command
    browser.click("#copy")
    browser.await_text("Copied", "#copy")
    browser.run("document.querySelector('#query').focus()")
    browser.press(Keys.CONTROL, "v")
    assert browser.run("return document.querySelector('#query').value") == command


def test_a_topology_opens_to_its_resources(browser: Browser, stage: Stage) -> None:
    topology = said.topology(0x3C68D34A, containers=1, networks=1)
    show(browser, stage, said.status([topology]))
    assert "1 container, 1 network" in browser.text("#topologies")
    assert "lan1" not in browser.text("#topologies")
    browser.click("#topologies summary")
    browser.await_text("lan1", "#topologies")
    container, network = topology["resources"]
    assert browser.texts("#topologies tbody td") == [
        *("container", container["name"], container["id"][:12]),
        *("network", f"{network['name']} {network['subnets'][0]}", network["id"][:12]),
    ]
    assert topology["ids"][0] in browser.text("#topologies")


def test_subnets_of_topologies_stand_beside_those_of_others(browser: Browser, stage: Stage) -> None:
    status = said.status([said.topology(5, networks=1), said.topology(6, "orphan", networks=1)])
    status["subnets"].append({"network": "renamed", "subnet": "9.0.0.0/24", "prefix": "00000005"})
    show(browser, stage, status)
    ours, others = browser.texts("#subnets > div")
    assert ours.split("\n")[2:] == [
        "9.0.0.0/24\trenamed 00000005",
        "10.0.10.0/24\tdecnet_t_00000005_lan1",
        "10.0.12.0/24\tdecnet_t_00000006_lan1 orphan",
    ]
    assert "172.17.0.0/16\tbridge" in others
    assert others.startswith("2 of others")


def test_the_last_reaps_are_shown_and_what_they_left(browser: Browser, stage: Stage) -> None:
    done, stuck = said.reap(1, 5), said.reap(3, 60, errors=["busy"])
    show(browser, stage, said.status(reaps=[done, stuck]))
    first, second = browser.texts("#reaps > li")
    assert "00000001" in first
    assert done["evidence"] in first
    assert "busy" not in first
    assert "busy" in second


def test_hostile_names_are_shown_as_the_text_that_they_are(browser: Browser, stage: Stage) -> None:
    show(browser, stage, hostile(), height=TALL)
    for number, text in enumerate(HOSTILE.values()):
        item = f"#topologies > li:nth-child({number + 1})"
        browser.run("document.querySelector(arguments[0] + ' details').open = true", item)
        browser.await_text("container", f"{item} tbody")
        assert browser.text(f"{item} summary bdi") == text
        assert set(browser.texts(f"{item} tbody bdi")) == {text}
        assert browser.text(f"{item} p code") == text
    whole = "".join(HOSTILE.values())
    for place in ("#notices bdi", "#sides .bad bdi", "#sides dd", "#reaps p > bdi", "#reaps .bad"):
        assert whole in browser.text(place)
    assert (
        browser.run("return document.querySelectorAll('main img, main b, main script').length") == 0
    )
    assert "edge-7" in browser.run("return document.title")


def test_nothing_is_wider_than_a_small_screen(browser: Browser, stage: Stage) -> None:
    for status in (hostile(), said.everything()):
        show(browser, stage, status, width=360, height=TALL)
        browser.run("for (const d of document.querySelectorAll('details')) d.open = true")
        browser.await_text("container", "#topologies tbody")
        wide = browser.run("""
            return [document.documentElement, ...document.querySelectorAll('body *')]
                .filter(e => e.scrollWidth > e.clientWidth && e.clientWidth && !e.closest('.sr'))
                .map(e => e.outerHTML.slice(0, 100))
        """)
        assert wide == []


def states() -> dict[str, said.Json]:
    """By what the badge says, a listener in each state that its page is looked at in."""
    some = [said.topology(1), said.topology(2)]
    down = {"up": False, "since": time.time() - 12, "reason": "it refuses connections"}
    docker = said.status()["docker"] | down
    why = "Docker is down for 12 s, nothing is removed"
    return {
        "ready": said.status(some, reaps=[said.reap(3, 60)]),
        "reaping": said.status([said.topology(1), said.topology(2, "reaping")]),
        "holding": said.status([said.topology(1), said.topology(2, "held")]),
        "degraded": said.status(
            some, state="degraded", state_reason=why, ready=False, docker=docker
        ),
        "starting": said.status(state="starting", state_reason="soon", ready=False),
        "no answer": said.status(some),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_badge_is_green_when_it_is_ready_and_nothing_else_is(
    browser: Browser, stage: Stage, scheme: str, width: int
) -> None:
    show(browser, stage, said.status(), scheme=scheme, width=width, motion="reduce")
    colours = (
        "return [...document.querySelectorAll(arguments[0])].map(e => getComputedStyle(e).color)"
    )
    (green,) = browser.run(colours, "#overall")
    for name, status in states().items():
        stage.status = status
        if name == "no answer":
            stage.go()
        browser.run("document.dispatchEvent(new Event('visibilitychange'))")  # it asks at once
        word = "ready" if name == "reaping" else name
        busy = "busy" if name == "reaping" else "idle"
        browser.await_text(word, "#overall")
        browser.await_text(busy, "#sides > li:last-child .state")
        (colour,) = browser.run(colours, "#overall")
        assert (colour == green) is (word == "ready"), name
        if name == "reaping":
            browser.await_text("8 of 11 left", "#topologies")
            browser.await_text("00000002, 8 of 11 left", "#sides > li:last-child")
        if name in ("degraded", "starting"):
            browser.await_text(status["state_reason"], "#notices")
        assert browser.violations() == [], name
        assert browser.run("return document.documentElement.scrollWidth") <= width, name
    assert green not in browser.run(colours, "#sides .state"), "nobody knows whether they are"
    assert all("ERR_CONNECTION_REFUSED" in line for line in browser.complaints())


# How it keeps up.


def test_an_update_leaves_alone_whoever_is_reading(browser: Browser, stage: Stage) -> None:
    topologies = [said.topology(n) for n in range(40)]
    show(browser, stage, said.status(topologies, reaps=[said.reap(99, 60)]), height=400, width=800)
    before = browser.run("""
        const item = document.querySelector('#topologies > li:nth-child(20)');
        item.querySelector('details').open = true;
        item.querySelector('summary').focus();
        getSelection().selectAllChildren(item.querySelector('code'));
        return item.getBoundingClientRect().top;
    """)
    status = said.status(topologies[1:], reaps=[said.reap(0, 1), said.reap(99, 60)])
    status["topologies"][30] = said.topology(31, "reaping")
    stage.status = status
    browser.await_text("reaping", "#topologies > li:nth-child(31)")
    browser.await_text("00000000", "#reaps > li.new")
    after = browser.run("""
        const item = document.activeElement.closest('li');
        return [item.getBoundingClientRect().top, item.querySelector('details').open,
                item.querySelector('code').textContent, `${getSelection()}`];
    """)
    assert after[1:] == [True, "00000013", "00000013"]
    assert abs(after[0] - before) <= 2


def test_the_focus_goes_to_a_neighbour_of_what_is_gone(browser: Browser, stage: Stage) -> None:
    show(browser, stage, said.status([said.topology(n) for n in range(3)]))
    browser.run("document.querySelector('#topologies > li:nth-child(2) summary').focus()")
    for left, focused in ([0, 2], "00000002"), ([0], "00000000"), ([], "Topologies on this host"):
        stage.status = said.status([said.topology(n) for n in left])
        eventually(
            lambda f=focused: f in browser.text(":is(summary, h2):focus"),  # type: ignore[misc]
            f"the focus is on {focused}",
        )


def test_of_many_topologies_it_touches_those_that_changed(browser: Browser, stage: Stage) -> None:
    topologies = [said.topology(n) for n in range(200)]
    show(browser, stage, said.status(topologies))
    assert len(browser.texts("#topologies > li")) == 200
    browser.run("""
        window.touched = new Set();
        const itemOf = node => (node.closest ? node : node.parentElement).closest('li');
        const touch = ({target}) => touched.add(itemOf(target)?.textContent);
        new MutationObserver(changes => changes.forEach(touch)).observe(
            document.querySelector('#topologies'),
            {subtree: true, childList: true, characterData: true, attributes: true});
    """)
    topologies[100] = said.topology(100, "orphan")
    stage.status = said.status(topologies)
    browser.await_text("orphan 1", "#states")
    [touched] = browser.run("return [...touched]")
    assert "00000064" in touched


def test_topologies_are_found_by_state_and_by_text(browser: Browser, stage: Stage) -> None:
    topologies = [said.topology(n, "orphan" if n % 3 == 0 else "alive") for n in range(12)]
    show(browser, stage, said.status(topologies))
    browser.click("#states button:nth-child(3)")
    assert browser.texts("#states button[aria-pressed=true]") == ["orphan 4"]
    assert browser.texts("#topologies code") == [f"{n:08x}" for n in (0, 3, 6, 9)]
    assert browser.text("#topologies-about") == "4 of 12 shown"
    browser.click("#query")
    browser.press("T_00000006_LAN2")
    assert browser.texts("#topologies code") == ["00000006"]
    topologies[7] = said.topology(7, "orphan")
    stage.status = said.status(topologies)
    browser.await_text("orphan 5", "#states")
    assert browser.texts("#topologies code") == ["00000006"]
    assert browser.run("return document.activeElement.id") == "query"


def test_a_listener_that_goes_away_and_comes_back(browser: Browser, stage: Stage) -> None:
    show(browser, stage, said.status([said.topology(1)]))
    stage.go()
    browser.await_text("The listener has not answered since", "#notices")
    assert browser.text("#overall") == "no answer"
    assert browser.run("return document.title").startswith("no answer")
    assert "00000001" in browser.text("#topologies"), "what was known stays"

    stage.status = said.status([said.topology(2)])
    stage.come()
    browser.await_text("ready", "#overall")
    browser.await_text("00000002", "#topologies")
    assert browser.texts("#notices li") == []
    refused = browser.complaints()
    assert refused
    assert all("status.json" in line and "ERR_CONNECTION_REFUSED" in line for line in refused)


def test_an_answer_that_is_none_is_said(browser: Browser, stage: Stage) -> None:
    show(browser, stage, said.status())
    for answer in ((503, b"busy"), (200, b"<html>Log in"), (200, b"{}")):
        stage.answer = lambda answer=answer: answer  # type: ignore[misc]
        browser.await_text("no answer", "#overall")
        stage.answer = stage.tell
        browser.await_text("ready", "#overall")
    assert all("status of 503" in line for line in browser.complaints())


def test_a_page_that_nobody_looks_at_asks_rarely(browser: Browser, stage: Stage) -> None:
    show(browser, stage, said.status())
    browser.run("""
        window.pauses = [];
        const real = setTimeout;
        setTimeout = (what, pause) => {
            pauses.push(pause);
            return pause < 15000 ? real(what, pause) : 0;  // what is so late never comes
        };
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
    """)
    eventually(lambda: 15000 in browser.run("return pauses"), "a long pause")
    asked = stage.asked
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    eventually(lambda: stage.asked > asked, "it asks as soon as somebody looks")


# For everybody.


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_nothing_serious(browser: Browser, stage: Stage, scheme: str, width: int) -> None:
    show(browser, stage, said.everything(), scheme=scheme, width=width)
    browser.run("document.querySelector('#topologies details').open = true")
    browser.await_text("container", "#topologies tbody")
    assert browser.violations() == []


def test_what_a_teardown_has_left_is_told_with_its_remedy(browser: Browser, stage: Stage) -> None:
    left = said.topology(7)
    id_ = left["ids"][0]
    leftover = {"prefix": left["prefix"], "id": id_, "resources": 3, "stays": True}
    show(browser, stage, {**said.status([left]), "torn_down": [leftover]})
    browser.await_text(f"of 00000007 3 resources, decnet topology delete {id_}", "#notices")
    show(browser, stage, {**said.status([left]), "torn_down": [{**leftover, "stays": False}]})
    eventually(lambda: browser.text("#notices") == "", "it is not where it goes by itself")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Browser, stage: Stage
) -> None:
    show(browser, stage, said.status([said.topology(1), said.topology(2, "held")]))
    reached = []
    for _ in range(40):
        browser.press(Keys.TAB)
        focused = browser.run("""
            const e = document.activeElement, style = getComputedStyle(e);
            return e === document.body ? null
                : [e.id || e.textContent.trim(), style.outlineStyle, style.outlineWidth];
        """)
        if focused is None:
            break
        reached.append(focused[0])
        assert focused[1:] == ["solid", "2px"], focused
    assert {"copy", "all 2", "query"} <= set(reached)
    assert any("00000002" in name for name in reached)
    browser.run("document.querySelector('summary').focus()")
    browser.press(Keys.ENTER)
    browser.await_text("container", "#topologies tbody")


def test_a_screen_reader_hears_of_changes_alone(browser: Browser, stage: Stage) -> None:
    old, new = said.reap(9, 60), said.reap(1, 1)
    show(browser, stage, said.status([said.topology(1)], reaps=[old]))
    browser.run("""
        window.told = [];
        const region = document.querySelector('[role=status]');
        const tell = () => told.push(region.textContent);
        new MutationObserver(tell).observe(region, {childList: true});
    """)
    asked = stage.asked
    eventually(lambda: stage.asked > asked + 2, "some polls without news")
    assert browser.run("return told") == []
    assert browser.run("return document.querySelector('[role=status]').textContent") == ""

    status = said.status([said.topology(2, "held")], reaps=[new, old])
    stage.status = {**status, "problems": ["Docker is down for 130 s"]}
    eventually(lambda: browser.run("return told.length") > 0, "the news")
    (told,) = browser.run("return told")
    for news in ("Docker is down", "Held back", "00000001"):
        assert news in told
    assert "00000009" not in told


def test_what_turns_stands_still_for_who_wants_that(browser: Browser, stage: Stage) -> None:
    moves = "return getComputedStyle(document.querySelector('#topologies .state'), '::before')"
    for motion, animation in ("no-preference", "turn"), ("reduce", "none"):
        show(browser, stage, said.status([said.topology(1, "reaping")]), motion=motion)
        assert browser.run(f"{moves}.animationName") == animation


def test_it_is_one_file_that_loads_nothing_else() -> None:
    assert PAGE.count("<script") == PAGE.count("<style") == 1
    assert "innerHTML" not in PAGE
    assert "http" not in PAGE.replace("http://www.w3.org/2000/svg", "")
