"""The scanner in the page: its arithmetic against the package, and its knobs in a browser without a network."""

import base64
import math
import random
import re
import shutil

import numpy as np
import pytest
import torch

from physldm.data import example_maps
from physldm.errors import InputError
from physldm.physics import FIELDS, SEQUENCES, TISSUES, Acquisition, AcquisitionError, flair, signal
from physldm.physics.sequences import sequence
from physldm.show import scanner
from physldm.show.javascript import equation_in_javascript, limits_in_javascript
from physldm.show.scanner import RANGES, packed

pytestmark = pytest.mark.slow

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install chromium to run it"
)


def unpacked(brain):
    """PD, T1, T2 ``[3, H, W]`` of a packed brain; 0 where there is no water."""
    water = np.repeat(np.arange(len(brain["runs"])) % 2 == 1, brain["runs"])
    words = np.frombuffer(base64.b64decode(brain["data"]), "<u2").reshape(3, -1) / 65535
    maps = np.zeros((3, brain["height"] * brain["width"]))
    for values, share, (low, high, logarithmic) in zip(maps, words, brain["ranges"], strict=True):
        values[water] = low * (high / low) ** share if logarithmic else low + (high - low) * share
    return maps.reshape(3, brain["height"], brain["width"])


CORE = "document.querySelector('.physldm-scanner').physldm.core"


@pytest.fixture(scope="module")
def maps():
    return example_maps()[0]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, maps, tmp_path):
    """A page with a scanner, from a file, with no network; it must not ask for anything nor complain."""
    yield from opened_page(browser, scanner({"one": maps, "other": maps.flip(-1)}), tmp_path)


@pytest.fixture
def gallery_page(browser, maps, tmp_path):
    yield from opened_page(browser, scanner([maps, maps.flip(-1), 0.5 * maps]), tmp_path)


def opened_page(browser, made, folder):
    file = folder / "page.html"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>scanner</title>'
    file.write_text(head + made._repr_html_(), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 900, "height": 900})
    asked, said = [], []
    opened.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    opened.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda e: said.append(str(e)))
    opened.goto(file.as_uri())
    opened.wait_for_function("document.querySelector('.physldm-scanner').physldm.state.image")
    yield opened
    opened.close()
    assert asked == [] and said == []


def pixels(page):
    code = "() => { const c = document.querySelector('.image'); return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 0)); }"
    settled(page)
    return np.array(page.evaluate(code)).reshape(224, 160)


def settled(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def choose(page, name):
    page.locator("select").nth(1).select_option(name)


def random_protocols(name, count=20):
    draw, found = random.Random(name), []
    usual = {k: v for k, v in Acquisition.usual(name).settings.items() if 0 < v < math.inf}
    while len(found) < count:
        changed = {k: v * 2 ** draw.uniform(-1, 1) for k, v in usual.items()}
        changed = {k: round(v) if k in ("train_length", "centre_echo") else v for k, v in changed.items()}
        try:
            found.append(Acquisition(name, **changed))
        except AcquisitionError:
            continue
    return found


@needs_browser
@pytest.mark.parametrize("name", SEQUENCES)
def test_arithmetic_is_that_of_the_package(name, page):
    """20 protocols × 11 tissues of every sequence, in double precision on both sides."""
    draw = torch.Generator().manual_seed(1)
    u = torch.rand(11, 3, generator=draw, dtype=torch.float64)
    tissue = torch.stack([0.1 + u[:, 0], 0.2 * 25 ** u[:, 1], 0.02 * 100 ** u[:, 2]], 1)
    protocols = random_protocols(name)
    settings = [
        {k: (v if math.isfinite(v) else "Infinity") for k, v in a.settings.items()} for a in protocols
    ]
    code = f"""([settings, tissue]) => {{ const f = {equation_in_javascript(name)};
        return settings.map(s => {{ for (const k in s) s[k] = Number(s[k]); return tissue.map(t => f(s)(...t)); }}); }}"""
    found = torch.tensor(page.evaluate(code, [settings, tissue.tolist()]), dtype=torch.float64)
    for row, acquisition in zip(found, protocols, strict=True):
        true = signal(tissue.T[:, :, None], acquisition)[:, 0]
        scale = torch.maximum(true.abs(), 0.02 * tissue[:, 0])
        assert ((row - true).abs() / scale).max() < 1e-9, acquisition


@needs_browser
@pytest.mark.parametrize("name", SEQUENCES)
def test_the_page_refuses_what_the_package_refuses(name, page):
    """500 protocols, possible and not, drawn around the usual one."""
    draw, settings, possible = random.Random(name), [], []
    usual = {k: v for k, v in Acquisition.usual(name).settings.items() if math.isfinite(v)}
    while len(settings) < 500:
        changed = {k: v * 20 ** draw.uniform(-1, 1) for k, v in usual.items() if v > 0}
        changed = {k: round(v) if k in ("train_length", "centre_echo") else v for k, v in changed.items()}
        if any(v > FIELDS[k].at_most for k, v in changed.items()):
            continue
        settings.append(usual | changed)
        try:
            Acquisition(name, **settings[-1])
            possible.append(True)
        except AcquisitionError:
            possible.append(False)
    code = f"""(settings) => {{ const limits = {limits_in_javascript(name)};
        return settings.map(s => {CORE}.refusal(limits, s, {{}}, String) === null); }}"""
    assert page.evaluate(code, settings) == possible
    assert set(possible) == {True, False}


def test_packing_keeps_a_property_to_one_part_in_ten_thousand(maps):
    inside = maps[0].numpy() > 0.05
    for back, values, (_, _, logarithmic) in zip(unpacked(packed(maps)), maps.numpy(), RANGES, strict=True):
        np.testing.assert_allclose(back[inside], values[inside], rtol=4e-4 if not logarithmic else 1e-4)
    assert len(packed(maps)["data"]) < 200_000


@pytest.mark.parametrize("place", ["all", "none", "first", "last", "middle"])
def test_packing_keeps_the_place_of_the_water(place):
    where = torch.zeros(4, 6, dtype=torch.bool)
    where.view(-1)[
        {"all": slice(None), "none": [], "first": 0, "last": -1, "middle": slice(5, 14)}[place]
    ] = True
    maps = torch.tensor([0.7, 1.2, 0.08])[:, None, None] * where
    np.testing.assert_allclose(unpacked(packed(maps)), maps.numpy(), rtol=1e-4)


def test_a_gallery_holds_every_brain_in_units_of_its_most_water(maps):
    gains = torch.tensor([700.0, 1.0, 1.0])[:, None, None]
    brains = torch.stack([maps * gains, 0.5 * (maps * gains).flip(-1)])
    made = scanner(brains)
    assert list(made.brains) == ["brain 1 of 2", "brain 2 of 2"]
    for brain, held in zip(brains, made.brains.values(), strict=True):
        inside = brain[0].numpy() > 0.05 * float(brain[0].max())
        expected = brain.numpy() / np.array([np.quantile(brain[0].numpy(), 0.995), 1, 1])[:, None, None]
        np.testing.assert_allclose(unpacked(packed(held))[:, inside], expected[:, inside], rtol=4e-4)
    text = made._repr_html_()
    assert all(packed(held)["data"] in text for held in made.brains.values())
    assert len(text) < len(scanner(maps)._repr_html_()) + 200_000


@needs_browser
def test_image_is_that_of_the_package(page, maps):
    image = signal(maps, Acquisition.usual("mprage")).abs()
    top = page.evaluate(
        "() => { const s = document.querySelector('.physldm-scanner').physldm.state; return s.image.length; }"
    )
    assert top == image.numel()
    found = torch.tensor(
        page.evaluate("() => Array.from(document.querySelector('.physldm-scanner').physldm.state.image)")
    ).reshape(image.shape)
    torch.testing.assert_close(found.abs(), image, atol=1e-3, rtol=1e-3)
    inside = maps[0] > 0
    white = torch.quantile(image[inside], 0.995)
    expected = (255 * (image / white).clamp(0, 1)).round().numpy()
    assert np.abs(pixels(page) - expected).max() <= 3


@needs_browser
def test_a_knob_moves_the_picture(page):
    before = pixels(page)
    page.locator('[data-setting="ti"]').focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    by_key = pixels(page)
    assert (by_key != before).mean() > 0.1
    page.locator('[data-setting="ti"]').fill("500")
    assert (pixels(page) != by_key).mean() > 0.1
    assert " s" in page.locator('[data-setting="ti"]').get_attribute("aria-valuetext")


@needs_browser
def test_it_follows_at_thirty_frames_a_second(page):
    code = """(name) => { const p = document.querySelector('.physldm-scanner').physldm, times = [];
        for (let i = 0; i < 31; i++) { const t = performance.now(); p.drawNow(); times.push(performance.now() - t); }
        return times.sort((a, b) => a - b)[15]; }"""
    for name in SEQUENCES:
        choose(page, name)
        settled(page)
        assert page.evaluate(code, name) < 33, name


@needs_browser
def test_an_impossible_setting_is_said_and_the_old_picture_stays(page):
    before = pixels(page)
    page.locator('[data-setting="tr"]').fill("500")
    settled(page)
    text = page.locator(".message").inner_text()
    assert (
        "TI is 1.00 s" in text
        and "less than TR" in text
        and "stale" in page.locator(".image").get_attribute("class")
        and "stale" in page.locator(".bars").get_attribute("class")
    )
    assert (pixels(page) == before).all()


@needs_browser
def test_every_sequence_of_the_table_can_be_chosen_and_presets_scan(page):
    options = page.locator("select").nth(1).locator("option").all_inner_texts()
    assert options == [model.title for model in SEQUENCES.values()]
    seen = []
    for button in page.locator(".presets button").all():
        button.click()
        seen.append(pixels(page))
        assert page.locator(".message").inner_text() == ""
    assert all((a != b).mean() > 0.05 for a, b in zip(seen, seen[1:], strict=False))


@needs_browser
def test_sign_exact_and_brain(page):
    page.locator('[data-setting="ti"]').fill("560")
    magnitude = pixels(page)
    page.get_by_label("keep the sign").check()
    signed = pixels(page)
    assert (magnitude != signed).mean() > 0.3 and signed[0, 0] in (127, 128)
    page.get_by_label("exact equation").check()
    assert page.locator("select").nth(1).input_value() == "mprage_readout"
    settled(page)
    assert "must be at least" in page.locator(".message").inner_text()
    choose(page, "spgr")
    assert page.get_by_label("exact equation").is_disabled()
    choose(page, "psir")
    assert page.get_by_label("keep the sign").is_disabled()
    choose(page, "mprage")
    one = pixels(page)
    page.locator("select").first.select_option("1")
    assert (pixels(page) != one).mean() > 0.05


@needs_browser
def test_a_share_is_set_in_hundredths_and_told_where_it_is_not_one(page, maps):
    choose(page, "mprage_readout")
    settled(page)
    label = page.locator("canvas.image").get_attribute
    assert "B1+" not in label("aria-label") and "train length 176" in label("aria-label")
    page.locator("summary").click()
    slider = page.locator('[data-setting="b1"]')
    assert slider.get_attribute("aria-valuetext") == "1.00"
    slider.fill("0.85")
    settled(page)
    assert slider.get_attribute("aria-valuetext") == "0.85" and "B1+ 0.85" in label("aria-label")
    found = page.evaluate("() => Array.from(document.querySelector('.physldm-scanner').physldm.state.image)")
    expected = signal(maps, Acquisition.usual("mprage_readout", b1=0.85))
    torch.testing.assert_close(torch.tensor(found).reshape(expected.shape), expected, atol=1e-3, rtol=1e-3)


@needs_browser
def test_a_button_steps_through_a_gallery_and_the_scan_stays(gallery_page):
    page, button = gallery_page, gallery_page.get_by_role("button", name="new brain")
    assert (
        page.locator("select").count() == 1 and page.locator(".gallery output").inner_text() == "brain 1 of 3"
    )
    page.locator('[data-setting="ti"]').fill("700")
    first = pixels(page)
    button.focus()
    page.keyboard.press("Enter")
    second = pixels(page)
    assert page.locator(".gallery output").inner_text() == "brain 2 of 3"
    assert np.abs(second - first[:, ::-1]).max() <= 1 and (second != first).mean() > 0.05
    assert "brain 2 of 3" in page.locator("canvas.image").get_attribute("aria-label")
    for _ in range(2):
        button.click()
    assert page.locator(".gallery output").inner_text() == "brain 1 of 3"
    assert (pixels(page) == first).all()
    assert "most PD = 1" in page.locator(".scale").inner_text()


@needs_browser
def test_a_voxel_tells_its_tissue_and_its_null(page, maps):
    choose(page, "flair")
    page.locator(".image").click(position={"x": 130, "y": 200})
    text = page.locator(".voxel").inner_text()
    x, y = (int(part) for part in text.split(":")[0].removeprefix("Voxel ").split(","))
    pd, t1, t2 = maps[:, y, x].tolist()
    assert f"PD {pd:.2f}, T1 {t1:.2f} s, T2 {1000 * t2:.0f} ms" in text
    null = -t1 * math.log((1 + math.exp(-9.0 / t1)) / 2)
    assert f"null at TI {null:.2f} s" in text
    page.locator(".image").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".voxel").inner_text().startswith(f"Voxel {x + 1}, {y}")
    assert "T1" in page.locator(".curves").get_attribute("aria-label")


def values_at(maps, text):
    x, y = (int(part) for part in text.split(":")[0].removeprefix("Voxel ").split(","))
    pd, t1, t2 = maps[:, y, x].tolist()
    return f"PD {pd:.2f}, T1 {t1:.2f} s, T2 {1000 * t2:.0f} ms"


@needs_browser
def test_another_brain_shows_its_own_voxel(page, maps):
    page.locator(".image").click(position={"x": 130, "y": 200})
    before = page.locator(".voxel").inner_text()
    page.locator("select").first.select_option("1")
    settled(page)
    after = page.locator(".voxel").inner_text()
    assert after.split(":")[0] == before.split(":")[0] and after != before
    assert values_at(maps, before) in before and values_at(maps.flip(-1), after) in after
    page.get_by_role("button", name="T2w").click()
    settled(page)
    assert (
        values_at(maps.flip(-1), page.locator(".voxel").inner_text()) in page.locator(".voxel").inner_text()
    )


@needs_browser
def test_a_brain_chosen_while_the_settings_are_impossible_shows_its_tissue_and_no_old_signal(page, maps):
    page.locator(".image").click(position={"x": 130, "y": 200})
    page.locator('[data-setting="tr"]').fill("500")
    page.locator("select").first.select_option("1")
    settled(page)
    text = page.locator(".voxel").inner_text()
    assert values_at(maps.flip(-1), text) in text and "not scanned" in text
    label = page.locator("canvas.image").get_attribute("aria-label")
    assert "cannot be scanned" in label and "other" in label and "Signal:" not in label
    assert not pixels(page).any()


@needs_browser
def test_a_gallery_shows_the_voxel_of_the_brain_on_screen(gallery_page, maps):
    page = gallery_page
    page.locator(".image").click(position={"x": 130, "y": 200})
    for brain in (maps.flip(-1), 0.5 * maps, maps):  # PD is in units of its own most
        page.get_by_role("button", name="new brain").click()
        settled(page)
        text = page.locator(".voxel").inner_text()
        assert values_at(brain, text).split(", ", 1)[1] in text


def drawn(page, against):
    """``{"white matter": [(x, y), ...]}`` of one graph, in the units of the drawing; and the height of its zero line."""
    graph = page.locator(f'.curves [data-against="{against}"]')
    paths = {p.get_attribute("data-tissue"): p.get_attribute("d") for p in graph.locator("path").all()}
    points = {
        name: [tuple(map(float, part.split())) for part in re.split("[ML]", d) if part]
        for name, d in paths.items()
    }
    zero = float(graph.locator(".rule").nth(1).get_attribute("y1"))
    return points, zero


@needs_browser
def test_curves_are_those_of_the_package_and_cross_zero_at_the_null_beside_them(page, maps):
    choose(page, "flair")
    page.locator('[data-setting="te"]').fill("300")
    page.locator(".image").click(position={"x": 130, "y": 200})
    settled(page)
    found = page.evaluate("document.querySelector('.physldm-scanner').physldm.state.settings")
    points, zero = drawn(page, "ti")
    assert list(points) == ["white matter", "grey matter", "CSF", "voxel"]
    left = points["CSF"][0][0]
    per_second = (points["CSF"][-1][0] - left) / 3.125  # 1.25 × TI 2.5 s
    for name, key in (("white matter", "wm"), ("grey matter", "gm"), ("CSF", "csf")):
        tissue = TISSUES[key]
        times = torch.tensor([(x - left) / per_second for x, _ in points[name]])
        true = flair(tissue.pd, tissue.t1, tissue.t2, te=found["te"], tr=found["tr"], ti=times)
        shown = torch.tensor([zero - y for _, y in points[name]])
        scale = (true * shown).sum() / (true * true).sum()
        assert scale > 0 and (shown - scale * true).abs().max() < 0.15, name
    null = float(page.locator(".voxel").inner_text().split("null at TI ")[1].split(" s")[0])
    dot = float(page.locator(".curves .null").get_attribute("cx"))
    assert abs((dot - left) / per_second - null) < 0.006
    before, after = (
        [y for x, y in points["voxel"] if x < dot][-1],
        next(y for x, y in points["voxel"] if x > dot),
    )
    assert (before - zero) * (after - zero) < 0


@needs_browser
def test_curves_follow_every_knob_and_a_spin_echo_shows_no_inversion(page):
    for name, shown in (
        ("mprage", ["ti", "tr"]),
        ("spin_echo", ["te", "tr"]),
        ("flair", ["ti", "te"]),
        ("spgr", ["te", "flip_angle"]),
    ):
        choose(page, name)
        settled(page)
        graphs = page.locator(".curves [data-against]")
        assert [g.get_attribute("data-against") for g in graphs.all()] == shown
        for knob in page.locator("[data-setting]").all():
            before = page.locator(".curves").inner_html()
            knob.focus()
            page.keyboard.press("ArrowRight")
            settled(page)
            assert page.locator(".curves").inner_html() != before, (name, knob.get_attribute("data-setting"))


@needs_browser
def test_it_follows_a_switch_of_theme(page):
    colour = "() => getComputedStyle(document.querySelector('.curves .rule')).stroke"
    light = page.evaluate(colour)
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    assert page.evaluate(colour) != light
    assert page.evaluate(colour) == page.evaluate(
        "() => getComputedStyle(document.querySelector('.physldm-scanner')).color"
    )


@needs_browser
def test_the_chosen_preset_shows_and_reset_brings_back_the_beginning(page):
    pressed = lambda: [b.inner_text() for b in page.locator('.presets [aria-pressed="true"]').all()]  # noqa: E731
    first = pixels(page)
    assert pressed() == ["T1w"]
    for button in page.locator(".presets button").all():
        button.click()
        settled(page)
        assert pressed() == [button.inner_text()]
    page.locator('[data-setting="te"]').fill("300")
    settled(page)
    assert pressed() == []
    page.get_by_label("keep the sign").check()
    page.get_by_label("adjust brightness").uncheck()
    page.locator(".image").click(position={"x": 130, "y": 200})
    page.get_by_role("button", name="reset").click()
    assert (pixels(page) == first).all() and pressed() == ["T1w"]
    assert page.locator(".voxel").inner_text().startswith("Click") and page.locator(".marker").is_hidden()


@needs_browser
def test_what_can_be_touched_is_large_enough(page):
    for control in page.locator(".physldm-scanner :is(button, select, label.tick, input[type=range])").all():
        assert control.bounding_box()["height"] >= 24
    assert page.locator("label.tick input").first.bounding_box()["width"] >= 18


@needs_browser
def test_changes_are_announced_and_only_they(page):
    said = lambda: (page.wait_for_timeout(500), page.locator('[aria-live="polite"]').inner_text())[1]  # noqa: E731
    assert said().startswith("MPRAGE")
    page.locator(".image").focus()
    page.keyboard.press("ArrowRight")
    assert said() == page.locator(".voxel").inner_text()
    page.get_by_label("keep the sign").check()
    assert said() == "The sign is kept: grey is zero."
    page.locator("select").first.select_option("1")
    assert said().startswith("Now other. Voxel")
    page.locator('[data-setting="tr"]').fill("500")
    settled(page)
    label = page.locator("canvas.image").get_attribute("aria-label")
    assert "cannot be scanned" in label and "last possible settings" in label and "Signal:" not in label
    page.locator('[data-setting="tr"]').fill("800")
    settled(page)
    label = page.locator("canvas.image").get_attribute("aria-label")
    assert "cannot be scanned" not in label and "Signal:" in label


@needs_browser
def test_it_speaks(page):
    assert page.locator("canvas.image").get_attribute("role") == "application"  # arrow keys move its voxel
    assert page.locator(".curves").get_attribute("role") == "img"
    assert "white matter +0.29" in page.locator("canvas.image").get_attribute("aria-label")
    page.wait_for_timeout(500)
    assert page.locator('[aria-live="polite"]').inner_text().startswith("MPRAGE")
    unnamed = page.evaluate("""() => [...document.querySelectorAll('.physldm-scanner input, .physldm-scanner select')]
        .filter(e => !e.labels.length || !e.labels[0].textContent.trim()).length""")
    assert unnamed == 0


def test_one_entry_in_the_table_appears_in_the_scanner(maps):
    from physldm.show.scanner import _sequences

    @sequence("saturation recovery", "T1w", {"tr": 0.5}, defaults={"te": 0.0})
    def saturation_recovery(pd, t1, t2, *, tr, te=0.0):
        return pd * -torch.expm1(-tr / t1)

    try:
        _sequences.cache_clear()
        html = scanner(maps)._repr_html_()
        assert '"saturation_recovery"' in html and "saturation recovery" in html
    finally:
        del SEQUENCES["saturation_recovery"]
        _sequences.cache_clear()


def test_bad_input_is_refused(maps):
    with pytest.raises(InputError, match="sequence"):
        scanner(maps, "epi")
    with pytest.raises(ValueError, match="found shape"):
        scanner(maps[:2])
    with pytest.raises(ValueError, match=r"brain 2 of 2.*found shape"):
        scanner([maps, maps[0]])
    with pytest.raises(ValueError, match="no brain"):
        scanner([])
    assert "</script>" not in scanner({"</script>": maps}).config()
