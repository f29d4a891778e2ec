"""The scanner in the page: its arithmetic against the package, and its knobs in a browser without a network."""

import base64
import math
import random
import shutil

import numpy as np
import pytest
import torch

from physldm.data import example_maps
from physldm.errors import InputError
from physldm.physics import FIELDS, SEQUENCES, Acquisition, AcquisitionError, signal
from physldm.physics.sequences import sequence
from physldm.show import scanner
from physldm.show.javascript import equation_in_javascript, limits_in_javascript
from physldm.show.scanner import RANGES, packed

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


@needs_browser
def test_it_speaks(page):
    assert page.locator("canvas.image").get_attribute("role") == "img"
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
