"""The review page as a person uses it, in headless Chromium."""

import re

from playwright.sync_api import Page, expect

from workspace.catalog.records import Override, Verdict

DROPPED, KEPT = ("drop", ""), ("keep", "")


def picture(page: Page, place: int):
    return page.locator(f"#picture-{place}")


def expect_message(page: Page, sentence: str) -> None:
    expect(page.locator("#message")).to_have_text(sentence)


def test_it_opens_with_the_most_suspicious_first_and_everything_about_it(open_page, reviewed) -> None:
    page = open_page()
    assert "token" not in page.url
    expect(page.locator("#classes button")).to_have_text(
        [r"cat 31 2 to look at", "dog 6 2 to look at", "<b>ox 2 2 to look at"]
    )
    expect(picture(page, 0)).to_have_attribute("aria-selected", "true")
    expect(picture(page, 0).locator("img")).to_have_attribute("src", f"/picture/small/{reviewed.cats[0]}.jpg")
    assert page.evaluate("document.querySelector('#picture-1 img').decode().then(() => true)")
    expect(picture(page, 1)).to_contain_text("unlike the other pictures of its class")
    page.keyboard.press("ArrowRight")
    details = page.locator("#details")
    for text in (
        "cat number 1",
        "CC BY",
        "by openverse for “cat”, place 2",
        "640 × 480 px",
        "Same picture or kin",
        "Most alike",
    ):
        expect(details).to_contain_text(text)
    expect(details.get_by_role("link", name="pictures.test")).to_have_attribute("href", "https://pictures.test/cat/1")


def test_keys_keep_drop_and_take_back_and_a_reload_remembers(open_page, reviewed) -> None:
    page = open_page()
    page.keyboard.press("d")
    expect_message(page, "Dropped.")
    page.keyboard.press("k")
    expect_message(page, "Kept.")
    expect(picture(page, 2)).to_have_attribute("aria-selected", "true")
    first, second = reviewed.cats[:2]
    assert reviewed.overrides() == {(first, "cat"): DROPPED, (second, "cat"): KEPT}
    assert (first, "cat") not in reviewed.kept()
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(picture(page, 0)).to_contain_text("dropped by you")
    expect(picture(page, 1)).to_contain_text("kept by you")
    expect(page.locator("#saved")).to_contain_text("2 decisions saved")
    page.keyboard.press("u")
    expect_message(page, "Taken back.")
    page.keyboard.press("u")
    expect(page.locator("#undo")).to_be_disabled()
    assert reviewed.overrides() == {}
    page.keyboard.press("End")
    expect(page.locator("#details")).to_contain_text("cut off")


def test_the_mouse_drops_keeps_and_takes_back(open_page, reviewed) -> None:
    page = open_page()
    picture(page, 3).click()
    page.get_by_role("button", name="Drop D").click()
    expect_message(page, "Dropped.")
    picture(page, 5).hover()
    picture(page, 5).locator("button.drop").click()
    expect(picture(page, 5)).to_contain_text("dropped by you")
    picture(page, 5).locator("button.keep").click()
    expect(picture(page, 5)).to_contain_text("kept by you")
    page.get_by_role("button", name="Undo").click()
    expect(picture(page, 5)).to_contain_text("dropped by you")
    assert reviewed.overrides() == {(reviewed.cats[place], "cat"): DROPPED for place in (3, 5)}


def test_relabel_moves_it_to_another_class_with_keys_alone(open_page, reviewed) -> None:
    page = open_page()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("1")
    expect_message(page, "Moved to dog.")
    moved = reviewed.cats[0]
    assert reviewed.overrides() == {(moved, "cat"): ("relabel", "dog")}
    assert (moved, "dog") in reviewed.kept()
    assert (moved, "cat") not in reviewed.kept()
    expect(picture(page, 0)).to_contain_text("moved to dog")
    page.keyboard.press("]")
    expect(page.locator("#grid").get_by_text("moved here from cat")).to_be_visible()
    page.keyboard.press("u")
    expect(picture(page, 0)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#classes button[aria-current]")).to_contain_text("cat")
    assert reviewed.overrides() == {}


def test_filters_by_state_reason_and_cluster(open_page) -> None:
    page = open_page()
    page.get_by_label("Show", exact=True).select_option("look")
    expect(page.locator("#count")).to_have_text("2 of 31 pictures")
    page.get_by_label("Show", exact=True).select_option("out")
    expect(page.locator("#count")).to_have_text("1 of 31 pictures")
    expect(picture(page, 0)).to_contain_text("the file was cut off")
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_label("Reason").select_option("off_topic")
    expect(page.locator("#count")).to_have_text("2 of 31 pictures")
    page.get_by_label("Cluster", exact=True).select_option("2")
    expect(page.locator("#count")).to_have_text("1 of 31 pictures")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#count")).to_have_text("1 of 31 pictures")
    page.get_by_label("Show", exact=True).select_option("mine")
    expect(page.locator("#empty")).to_be_visible()


def test_a_cluster_is_dropped_and_taken_back_in_one_click(open_page, reviewed) -> None:
    page = open_page()
    page.keyboard.press("k")
    expect_message(page, "Kept.")
    page.get_by_role("button", name="Drop 2 pictures of cluster 2").click()  # the third of it is kept by a person
    expect_message(page, "Dropped: 2 pictures.")
    kept = {(reviewed.cats[0], "cat"): KEPT}
    assert reviewed.overrides() == kept | {(reviewed.cats[place], "cat"): DROPPED for place in (3, 4)}
    page.get_by_role("button", name="Undo").click()
    expect_message(page, "Taken back: 2 decisions.")
    assert reviewed.overrides() == kept


def test_decisions_on_one_picture_are_taken_back_one_by_one_and_none_is_lost_where_the_request_fails(
    open_page, reviewed
) -> None:
    page = open_page()
    first = (reviewed.cats[0], "cat")
    for key, said in (("k", "Kept."), ("Home", "Kept."), ("d", "Dropped.")):
        page.keyboard.press(key)
        expect_message(page, said)
    page.route("**/api/decide", lambda route: route.abort())
    page.keyboard.press("u")
    expect(page.locator("#message")).to_contain_text("Not saved: ")
    page.unroute("**/api/decide")
    page.keyboard.press("u")
    expect_message(page, "Taken back.")
    assert reviewed.overrides() == {first: KEPT}
    page.keyboard.press("u")
    expect(page.locator("#undo")).to_be_disabled()
    assert reviewed.overrides() == {}


def test_two_tabs_stay_in_step_and_neither_loses_the_other_s_work(open_page, reviewed, chromium, address) -> None:
    one, two = open_page(), open_page()
    one.keyboard.press("d")
    expect(picture(two, 0)).to_contain_text("dropped by you")
    two.keyboard.press("ArrowRight")
    two.keyboard.press("k")
    expect(picture(one, 1)).to_contain_text("kept by you")
    one.keyboard.press("u")
    expect(picture(two, 0)).not_to_contain_text("dropped by you")
    assert reviewed.overrides() == {(reviewed.cats[1], "cat"): KEPT}
    apart = chromium.new_context()  # another browser, which the first one's messages do not reach
    apart.set_default_timeout(60_000)
    late = apart.new_page()
    late.goto(f"{address}#class=cat")
    late.wait_for_selector("html[data-ready]")
    one.keyboard.press("Home")
    one.keyboard.press("d")
    expect_message(one, "Dropped.")
    late.keyboard.press("k")
    expect_message(late, "Not changed: in another tab it was dropped. Look again.")
    expect(picture(late, 0)).to_contain_text("dropped by you")
    late.keyboard.press("Home")
    late.keyboard.press("k")
    expect_message(late, "Kept.")
    one.keyboard.press("u")
    expect_message(one, "Not taken back, as it was decided anew elsewhere: 1 of 1.")
    assert reviewed.overrides()[reviewed.cats[0], "cat"] == KEPT
    apart.close()


def test_no_title_creator_or_class_can_inject_html(open_page, address) -> None:
    page = open_page()
    expect(page.locator("#details")).to_contain_text("<script>document.title='owned'</script>{{ 7*7 }}")
    page.locator("#classes button").nth(2).click()
    expect(page.locator("#details")).to_contain_text("onerror=")
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    assert page.title() == "Review: pets"
    assert (
        page.evaluate("document.querySelectorAll('b, script:not([src]), img[src=\"x\"], [href^=javascript]').length")
        == 0
    )


def test_the_policy_stops_an_inline_script_even_if_one_got_in(chromium, address) -> None:
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(address)
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate(
            "const script = document.createElement('script'); script.textContent = 'document.title = 1';"
            "document.body.append(script)"
        )
    assert page.title() == "Review: pets"
    context.close()


def test_thousands_of_pictures_make_no_more_cells_than_a_few(open_page, reviewed) -> None:
    reviewed.add("dog", 4_000)
    page = open_page("#class=dog")
    expect(page.locator("#count")).to_have_text(re.compile("^4000 pictures"))
    assert page.locator(".cell").count() < 80
    page.keyboard.press("End")
    expect(picture(page, 3_999)).to_have_attribute("aria-setsize", "4000")
    assert page.locator(".cell").count() < 80
    page.keyboard.press("d")
    expect_message(page, "Dropped.")


def test_it_opens_where_most_waits_for_a_look(open_page, reviewed) -> None:
    with reviewed.workspace.open_catalog() as catalog:
        catalog.put([Override(sha, "cat", "keep", made_at="then") for sha in reviewed.cats[:2]])
    page = open_page()
    expect(page.locator("#classes [aria-current]")).to_contain_text("dog")


def test_a_class_without_a_picture_says_what_became_of_all_that_was_found(open_page, reviewed) -> None:
    with reviewed.workspace.open_catalog() as catalog:
        catalog.replace_verdicts(
            ["copy", "curate", "decode"], [Verdict(sha, "cat", "copy", "keep") for sha in reviewed.cats]
        )
    page = open_page("#class=dog")
    expect(page.locator("#empty")).to_have_text("This class has no picture: 6 found, 6 not cleaned yet, 0 kept.")
