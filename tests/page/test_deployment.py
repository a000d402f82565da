"""The view of one deployment: what happened, what failed and what to do, and the commands."""

from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from shared.domain.records import RecordedError
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from tests.page import scenes
from tests.page.conftest import Serving
from tests.page.fake_api import Deployment, World, header, step


def opened(serve: Serving, deployment: Deployment, *, audit_page: int = 1_000) -> World:
    """Open the page on that deployment."""
    world = World(audit_page=audit_page)
    world.add(deployment)
    serve(world, f"#/deployments/{deployment.header.deployment_id}")
    expect(serve.tab.locator("h1")).not_to_be_empty()
    return world


def spans(tab: Page, lane: int | str) -> list[str]:
    """Return the kinds of the bars of a step, from left to right."""
    key = lane if isinstance(lane, str) else f"lane-{lane}"
    classes = tab.locator(f"[data-key='{key}'] .bars .span").evaluate_all("all => all.map(s => s.classList[1])")
    return [str(c) for c in classes]


def test_deployment_and_the_one_that_it_promotes_are_shown_side_by_side(tab: Page, serve: Serving) -> None:
    """Parts that differ come first. For each part the page says whether one of the two has it, or both."""
    world = World()
    parts = {"workspace": "a" * 64, "content/Notebook/Load": "b" * 64, "content/Notebook/New": "c" * 64}
    world.add(Deployment(header(1, D.SUCCEEDED, scenes.now(), deployment_id="r-test"), parts=parts))
    top = header(0, D.SUCCEEDED, scenes.now(), deployment_id="r-prod", promotes="r-test")
    world.add(Deployment(top, parts={"workspace": "a" * 64, "content/Notebook/Load": "d" * 64}))
    serve(world, "#/deployments/r-prod")
    tab.get_by_role("link", name="compare").click()
    expect(tab.get_by_text("2 of 3 parts differ.")).to_be_visible()
    rows = tab.locator("tbody tr")
    expect(rows).to_have_count(3)
    assert rows.evaluate_all("all => all.map(r => [r.dataset.key, r.dataset.is])") == [
        ["content/Notebook/Load", "differs"],
        ["content/Notebook/New", "left"],
        ["workspace", "same"],
    ]
    expect(rows.nth(1).locator("td")).to_have_text(["content/Notebook/New", "cccccccccccc only here", "\u2013"])
    tab.get_by_role("link", name="r-test").click()
    expect(tab.locator("h1")).to_contain_text("finance")


def signed_in(deployment: Deployment, *roles: str) -> World:
    """Return a world of one deployment, whose viewer is signed in with these roles."""
    world = World(sign_in="/.auth/login/aad", roles=roles)
    world.add(deployment)
    return world


@pytest.mark.parametrize(
    ("roles", "offered", "others"),
    [
        (("Reader",), [], "Approve (Approver), Cancel (Deployer or Operator), Refuse (Approver)"),
        (("Approver",), ["Approve", "Refuse"], "Cancel (Deployer or Operator)"),
        (("Deployer",), ["Cancel"], "Approve (Approver), Refuse (Approver)"),
        (("Approver", "Operator"), ["Approve", "Cancel", "Refuse"], ""),
    ],
)
def test_deployment_offers_what_the_roles_allow(
    tab: Page, serve: Serving, roles: tuple[str, ...], offered: list[str], others: str
) -> None:
    """Only these verbs have a button; for the rest the page names the roles. What waits is shown to everybody."""
    gate = step("d", 0, "gate", S.PENDING, kind="approval", spec={"message": "Go live?"}, started_at=scenes.now())
    top = header(0, D.RUNNING, scenes.now(), deployment_id="d")
    world = signed_in(Deployment(top, [gate], allowed=("cancel", "approve", "refuse")), *roles)
    serve(world, "#/deployments/d", key=None)
    tab.get_by_role("link", name="Sign in").click()
    expect(tab.get_by_text("Go live?")).to_be_visible()
    if others:
        expect(tab.get_by_text(f"Needs another role: {others}.")).to_be_visible()
    expect(tab.locator(".verbs button")).to_have_count(len(offered))
    assert sorted(tab.locator(".verbs button").all_inner_texts()) == offered
    if not others:
        assert tab.get_by_text("Needs another role").count() == 0
        tab.get_by_role("button", name="Cancel").click()
        expect(tab.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
        assert tab.get_by_label("Your name").count() == 0, "the token proves the name"


def test_deployment_running_shows_waits_apart_from_work(tab: Page, serve: Serving) -> None:
    """Waiting in line, looking, applying, and Fabric's own work are different bars; a wait is hatched and has a
    label."""
    opened(serve, scenes.running())
    assert spans(tab, 0) == ["line", "look", "work"]
    assert spans(tab, 2) == ["line", "look", "work", "fabric", "next"]
    assert tab.locator("[data-key='lane-2'] .hatch").count() == 1
    assert tab.locator("[data-key='lane-0'] .hatch").count() == 0
    assert spans(tab, 3) == ["line", "look", "work", "wait", "work", "wait", "work"]
    assert spans(tab, 4) == []
    legend = tab.locator(".legend").inner_text()
    assert "Waiting: Fabric works on it" in legend
    assert "Compensating" not in legend
    widths = tab.locator("[data-key='lane-0'] .span").evaluate_all(
        "all => all.map(s => s.getBoundingClientRect().width)"
    )
    assert widths[2] == pytest.approx(widths[1] * (8 - 1.2) / (1.2 - 0.5), rel=0.05)


def test_deployment_running_shows_which_step_is_retried(tab: Page, serve: Serving) -> None:
    """A step that failed twice and is retried shows that with its error, and does not look failed."""
    opened(serve, scenes.running())
    card = tab.locator(".trouble-card")
    expect(card).to_contain_text("failed 2 times and is tried again")
    expect(card).to_contain_text("503")
    expect(tab.locator("[data-key='lane-3'] .tries")).to_have_text("2\u00d7")
    expect(tab.locator(".facts").first).to_contain_text("2 of 5 applied")


def test_deployment_compensated_shows_forward_and_backward_and_the_remedy(tab: Page, serve: Serving) -> None:
    """The page shows what failed, Fabric's code and request id, what to do next, and each step's bar forward and
    backward."""
    opened(serve, scenes.compensated())
    expect(tab.locator(".head .badge")).to_have_text("compensated")
    assert spans(tab, 1) == ["line", "look", "work", "undo"]
    assert spans(tab, "whole") == ["line", "work", "undo"]
    failed = tab.locator(".bars .failed")
    expect(failed).to_have_count(1)
    assert tab.locator("[data-key='lane-3']").locator(failed).count() == 1
    card = tab.locator(".trouble-card")
    for text in ("CrystalBall", "What to do: Correct what Fabric refused", "400", "InvalidItemType", "932867d7-d6a6"):
        expect(card).to_contain_text(text)
    expect(tab.locator("[data-key='lane-1']")).to_contain_text("4.20 s, compensated in 1.60 s")
    expect(tab.locator(".lane-name .mark")).to_have_text(["failed"])


def test_deployment_error_that_stops_many_steps_is_shown_once(tab: Page, serve: Serving) -> None:
    """Six steps behind one open breaker are one card with their names, and the timeline stays visible."""
    top = header(0, D.RUNNING, scenes.now())
    shared = {"attempt": 1, "started_at": top.started_at}
    steps = [
        step(
            top.deployment_id,
            i,
            f"lake{i}",
            scenes.S.PENDING,
            error=RecordedError("the circuit breaker 'items' is open", "Wait.", f"GET /items/{i}", request_id=str(i)),
            **shared,
        )
        for i in range(6)
    ]
    opened(serve, Deployment(top, steps))
    card = tab.locator(".trouble-card")
    expect(card).to_have_count(1)
    expect(card).to_contain_text("6 steps: lake0, lake1, lake2, lake3, lake4, lake5: each failed 1 time")
    expect(card).not_to_contain_text("GET /items")
    tab.get_by_role("button", name="lake3").click()
    expect(tab.locator(".detail")).to_contain_text("GET /items/3")


def test_deployment_axis_has_no_mark_twice(tab: Page, serve: Serving) -> None:
    """Beyond a minute, marks of twenty seconds include the seconds."""
    at = scenes.now()
    top = header(0, D.RUNNING, at, accepted_at=at - timedelta(seconds=110), started_at=at - timedelta(seconds=109))
    opened(serve, Deployment(top, [step(top.deployment_id, 0, "slow", scenes.S.INTENT, started_at=top.started_at)]))
    assert tab.locator(".axis text").all_text_contents()[:6] == ["0", "20 s", "40 s", "1 min", "1:20 min", "1:40 min"]


def test_deployment_stuck_names_the_obstacle(tab: Page, serve: Serving) -> None:
    """A compensation that is out of attempts names the obstacle and what a person must do."""
    opened(serve, scenes.stuck())
    expect(tab.locator(".trouble-card")).to_contain_text("could not be compensated")
    expect(tab.locator(".trouble-card")).to_contain_text("Move or delete them")
    expect(tab.get_by_role("button", name="Roll back")).to_be_visible()
    expect(tab.get_by_role("button", name="Cancel")).to_have_count(0)


def test_deployment_stuck_is_released_with_a_reason(tab: Page, serve: Serving) -> None:
    """Without a reason nothing is sent; then the page shows the result and what remains."""
    world = opened(serve, scenes.stuck())
    tab.get_by_role("button", name="Release").click()
    expect(tab.locator("#ask-does")).to_contain_text("stay as they are")
    send = tab.get_by_role("dialog").get_by_role("button", name="Release")
    send.click()
    assert world.commands == []
    tab.locator("#ask-reason").fill("it stays theirs")
    send.click()
    expect(tab.get_by_role("dialog")).to_have_count(0)
    assert [(verb, body) for verb, _, body in world.commands] == [("release", {"reason": "it stays theirs"})]
    scene = world.deployments["build-89998"]
    error = RecordedError("released by anna: it stays theirs; 1 step is not rolled back", "Delete it by hand.")
    ended = scene.header.replace(state=D.FAILED, release_write=5, error=error)
    world.deployments["build-89998"] = replace(scene, header=ended, allowed=("compensate",))
    expect(tab.locator(".head")).to_contain_text("Released by a person")
    expect(tab.locator(".trouble-card").first).to_contain_text("Delete it by hand")


def test_deployment_is_live_and_keeps_what_the_reader_opened(tab: Page, serve: Serving) -> None:
    """A move is shown within a poll, is announced, and neither closes a detail nor takes the focus."""
    world = opened(serve, scenes.running())
    button = tab.get_by_role("button", name="gold")
    button.click()
    expect(tab.locator(".detail")).to_contain_text("create Lakehouse")
    button.focus()
    world.move("build-90000", D.COMPENSATING)
    expect(tab.locator(".head .badge")).to_have_text("compensating")
    expect(tab.locator("#said")).to_have_text("The deployment is compensating.")
    expect(tab.locator(".detail")).to_be_visible()
    expect(button).to_be_focused()


def test_deployment_that_does_not_change_is_not_sent_again(tab: Page, serve: Serving) -> None:
    """As long as nothing changes, polls are answered 304, and the audit is not requested at all."""
    tab.clock.install()
    world = opened(serve, scenes.stuck())
    tab.wait_for_load_state("networkidle")
    world.calls.clear()
    for _ in range(3):
        with tab.expect_response("**/api/deployments/*"):
            tab.clock.run_for(2500)
    request = [(call, status) for call, status in world.calls if "health" not in call]
    assert len(request) >= 3
    assert {status for _, status in request} == {304}
    assert not any("audit" in call for call, _ in request)


def test_deployment_journal_and_audit_are_tabs_for_the_keyboard(tab: Page, serve: Serving) -> None:
    """Arrow keys switch between the two; the audit has who moved what and why."""
    opened(serve, scenes.compensated())
    tab.get_by_role("tab", name="Journal (4)").focus()
    expect(tab.get_by_role("tabpanel").locator("tbody tr")).to_have_count(4)
    tab.keyboard.press("ArrowRight")
    expect(tab.get_by_role("tab", name="Audit (12)")).to_be_focused()
    panel = tab.get_by_role("tabpanel")
    expect(panel.locator("tbody tr")).to_have_count(12)
    expect(panel).to_contain_text("running → compensating")
    expect(panel).to_contain_text("every step is compensated")
    expect(panel.locator("tbody tr").nth(2)).to_contain_text("workspace")


def test_deployment_has_all_pages_of_its_audit(tab: Page, serve: Serving) -> None:
    """When something happens, those that have not changed are not sent again."""
    world = opened(serve, scenes.running(), audit_page=2)
    count = len(world.deployments["build-90000"].audit)
    tab.get_by_role("tab", name=f"Audit ({count})").click()
    expect(tab.get_by_role("tabpanel").locator("tbody tr")).to_have_count(count)
    world.calls.clear()
    world.move("build-90000", D.COMPENSATING)
    expect(tab.get_by_role("tabpanel").locator("tbody tr")).to_have_count(count + 1)
    audit = {call: status for call, status in world.calls if "audit" in call}
    assert audit["GET /api/deployments/build-90000/audit"] == 304
    assert 200 in audit.values()


def test_deployment_cancel_is_confirmed_and_sends_requester_and_reason(tab: Page, serve: Serving) -> None:
    """Nothing is sent before the confirmation. The command then contains the requester's name and the reason, and the
    page shows its effect."""
    world = opened(serve, scenes.running())
    world.on_command = lambda verb, deployment_id: world.move(deployment_id, D.COMPENSATING)
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.focus()
    tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog")
    expect(dialog).to_contain_text("Then the deployment is rolled back")
    tab.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(cancel).to_be_focused()
    assert world.commands == []
    tab.keyboard.press("Enter")
    tab.get_by_label("Your name").fill("operator on duty")
    tab.get_by_label("Reason").fill("wrong <branch>")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert world.commands == [
        ("cancel", "build-90000", {"requested_by": "operator on duty", "reason": "wrong <branch>"})
    ]
    expect(tab.locator(".head .badge")).to_have_text("compensating")


def test_deployment_command_whose_button_disappears_moves_the_focus_to_the_head(tab: Page, serve: Serving) -> None:
    """A person without a mouse continues at the deployment's name, not at the top of the page."""
    world = opened(serve, scenes.held())
    settled = Deployment(header(3, D.RUNNING, scenes.now()))
    world.on_command = lambda verb, deployment_id: world.deployments.update({deployment_id: settled})
    tab.get_by_role("button", name="Resume").press("Enter")
    tab.get_by_role("dialog").get_by_role("button", name="Resume").press("Enter")
    expect(tab.get_by_role("button", name="Resume")).to_have_count(0)
    expect(tab.locator("h1")).to_be_focused()


def test_deployment_command_that_is_refused_shows_the_reason_and_stays(tab: Page, serve: Serving) -> None:
    """The dialog announces a 409 and keeps what was written."""
    world = opened(serve, scenes.held())
    world.refuse = "it is compensating, which cannot be resumed"
    tab.get_by_role("button", name="Resume").click()
    tab.get_by_label("Reason").fill("capacity is back")
    tab.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(tab.get_by_role("alert")).to_contain_text("it is compensating, which cannot be resumed")
    expect(tab.get_by_label("Reason")).to_have_value("capacity is back")
    world.refuse = ""
    tab.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(tab.get_by_role("dialog")).to_have_count(0)
    assert [(verb, body) for verb, _, body in world.commands] == [("resume", {"reason": "capacity is back"})]


def test_deployment_approval_names_the_step_that_waits(tab: Page, serve: Serving) -> None:
    """The page offers Approve only for the waiting approval, and only if the API allows it. The approval's message and
    approvers are shown beside it."""
    top = header(0, D.RUNNING, scenes.now())
    asks = {"message": "Figures <checked>?", "approvers": ["finance", "data-team"]}
    gate = step(top.deployment_id, 1, "go-live", scenes.S.PENDING, kind="approval", started_at=top.started_at)
    gate = gate.replace(spec=asks)
    other = step(top.deployment_id, 2, "report", scenes.S.PENDING)
    world = opened(serve, Deployment(top, [gate, other], [], ("approve", "refuse", "cancel")))
    expect(tab.locator(".waiting")).to_contain_text("Step go-live waits for finance, data-team: Figures <checked>?")
    tab.get_by_role("button", name="Approve").click()
    expect(tab.locator("[data-key='lane-1'] .badge")).to_have_text("waits")
    assert spans(tab, 1) == ["person"]
    expect(tab.get_by_label("Step").locator("option")).to_have_text(["go-live: Figures <checked>?"])
    tab.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(tab.get_by_role("dialog")).to_have_count(0)
    assert world.commands == [("approve", top.deployment_id, {"step": "go-live"})]


def test_deployment_rejected_lists_every_problem(tab: Page, serve: Serving) -> None:
    """The page shows each problem and its place in the manifest."""
    problems = tuple({"path": f"$.steps[{i}].kind", "message": f"unknown kind {i}"} for i in range(3))
    opened(serve, Deployment(header(0, D.REJECTED, scenes.now(), problems=problems)))
    expect(tab.locator(".problems li")).to_have_count(3)
    expect(tab.locator(".problems li").nth(1)).to_have_text("$.steps[1].kind unknown kind 1")


def test_deployment_that_does_not_exist_gives_a_message(tab: Page, serve: Serving) -> None:
    """The address of a deployment that does not exist gives a text, with a link back."""
    serve(World(), "#/deployments/never-was")
    expect(tab.locator(".empty")).to_contain_text("no such deployment")
    expect(tab.get_by_role("link", name="Deployments").first).to_be_visible()


def test_deployment_that_is_forgotten_still_has_its_audit(tab: Page, serve: Serving) -> None:
    """After its retention the journal is deleted, and the audit stays and is shown."""
    world, removed = World(), scenes.compensated()
    world.forgotten["long-ago"] = removed.audit
    serve(world, "#/deployments/long-ago")
    expect(tab.locator("h1")).to_have_text("long-ago")
    expect(tab.get_by_role("region", name="Audit")).to_contain_text("every step is compensated")


def test_deployment_of_a_thousand_steps_opens(tab: Page, serve: Serving) -> None:
    """A deployment with many principals is shown completely."""
    top = header(0, D.RUNNING, scenes.now())
    times = {"started_at": top.started_at, "finished_at": scenes.now()}
    steps = [step(top.deployment_id, i, f"team.{i:04d}", scenes.S.SUCCEEDED, **times) for i in range(1000)]
    opened(serve, Deployment(top, steps))
    expect(tab.locator(".lane .bars")).to_have_count(1001)


def test_deployment_shows_the_end_of_a_long_id_by_which_steps_differ(tab: Page, serve: Serving) -> None:
    """The last letters of both ids are inside the box of the name, and the whole id is its text and its title."""
    top = header(0, D.SUCCEEDED, scenes.now())
    ids = [f"content/SemanticModel/Sales of the northern region/bind-{n}" for n in (1, 2)]
    opened(serve, Deployment(top, [step(top.deployment_id, n, each, S.SUCCEEDED) for n, each in enumerate(ids)]))
    for n, each in enumerate(ids):
        shown = tab.locator(f"[data-key='lane-{n}'] .lane-name .name")
        expect(shown).to_have_text(each)
        expect(shown).to_have_attribute("title", each)
        assert shown.evaluate(
            """name => {
                const last = document.createTreeWalker(name, NodeFilter.SHOW_TEXT);
                let text = null;
                while (last.nextNode()) text = last.currentNode;
                const end = document.createRange();
                end.setStart(text, text.length - 6);
                end.setEnd(text, text.length);
                const letters = end.getBoundingClientRect();
                const box = name.closest(".lane-name").getBoundingClientRect();
                return letters.width > 0 && letters.right <= box.right + 1;
            }"""
        )


def test_deployment_says_what_a_step_did_that_creates_nothing(tab: Page, serve: Serving) -> None:
    """A step that removes shortcuts has no resource that was created or adopted."""
    top = header(0, D.SUCCEEDED, scenes.now())
    done = step(top.deployment_id, 0, "content/removed-shortcuts", S.SUCCEEDED, done="removed 2 shortcuts")
    opened(serve, Deployment(top, [done]))
    tab.locator("button.lane-name").first.click()
    expect(tab.locator(".detail dd").filter(has_text="removed 2 shortcuts")).to_be_visible()
