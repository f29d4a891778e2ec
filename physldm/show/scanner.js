/* The scanner in the page: maps of PD, T1, T2 in, an image of any sequence out. Plain JavaScript, no network.
   Its equations are not written here: they come traced from the Python functions, as
   config.sequences[name].equation(settings)(pd, t1, t2). Times are in seconds. */

const physldmCore = {
  /* 16-bit numbers of one brain's water -> Float32Arrays, and where it is: every second of the runs.
     PD is linear, T1 and T2 logarithmic. */
  unpack(brain) {
    const bytes = Uint8Array.from(atob(brain.data), (c) => c.charCodeAt(0));
    const words = new Uint16Array(bytes.buffer), inside = [];
    brain.runs.reduce((first, run, i) => {
      if (i % 2) for (let k = first; k < first + run; k++) inside.push(k);
      return first + run;
    }, 0);
    const maps = brain.ranges.map(([low, high, logarithmic], i) => {
      const map = new Float32Array(brain.height * brain.width);
      inside.forEach((k, j) => {
        const share = words[i * inside.length + j] / 65535;
        map[k] = logarithmic ? low * Math.pow(high / low, share) : low + (high - low) * share;
      });
      return map;
    });
    return { ...brain, data: null, maps, inside: Uint32Array.from(inside) };
  },

  /* The signal of every voxel; 0 where there is no water. */
  scan(brain, equation, settings) {
    const at = equation(settings), [pd, t1, t2] = brain.maps;
    const image = new Float32Array(pd.length);
    for (const k of brain.inside) image[k] = at(pd[k], t1[k], t2[k]);
    return image;
  },

  /* The 99.5th percentile of |signal| where there is water, from a histogram. */
  brightest(image, inside) {
    let most = 1e-6;
    for (const k of inside) most = Math.max(most, Math.abs(image[k]));
    const counts = new Uint32Array(1024);
    for (const k of inside) counts[Math.min(1023, Math.floor((Math.abs(image[k]) / most) * 1024))]++;
    let left = inside.length * 0.005, bin = 1023;
    while (bin > 0 && (left -= counts[bin]) > 0) bin--;
    return ((bin + 1) / 1024) * most;
  },

  /* What is wrong with the settings, in one line, or null. */
  refusal(limits, settings, labels, format) {
    const words = { "<": "less than", "≤": "at most", "≥": "at least" };
    const holds = { "<": (a, b) => a < b, "≤": (a, b) => a <= b + 1e-9, "≥": (a, b) => a >= b - 1e-9 };
    for (const [name, relation, bound, of] of limits) {
      const limit = bound(settings);
      if (!holds[relation](settings[name], limit)) {
        return `This cannot be scanned: ${labels[name]} is ${format(name, settings[name])}; it must be ` +
          `${words[relation]} ${of.replace(/[a-z][a-z0-9_]*/g, (word) => labels[word] || word)} = ${format(name, limit)}.`;
      }
    }
    return null;
  },

  /* The TI between 1 ms and TR at which a voxel's signal crosses zero, or null. */
  nullTime(sequence, settings, voxel) {
    if (!("ti" in settings)) return null;
    const at = (ti) => sequence.equation({ ...settings, ti })(...voxel);
    const possible = (ti) => physldmCore.refusal(sequence.limits, { ...settings, ti }, {}, String) === null;
    let before = null;
    for (let i = 0; i <= 300; i++) {
      const ti = 0.001 * Math.pow(settings.tr / 0.001, i / 300);
      if (!possible(ti)) { before = null; continue; }
      if (before !== null && at(before) < 0 !== at(ti) < 0) {
        let low = before, high = ti;
        for (let j = 0; j < 40; j++) {
          const middle = (low + high) / 2;
          if (at(low) < 0 !== at(middle) < 0) high = middle; else low = middle;
        }
        return (low + high) / 2;
      }
      before = ti;
    }
    return null;
  },
};

function physldmScanner(root, config) {
  const brains = config.brains.map(physldmCore.unpack);
  const state = {
    brain: brains[0], sequence: config.start, settings: { ...config.sequences[config.start].usual },
    signed: false, auto: true, voxel: null, image: null, refused: null, milliseconds: 0,
  };
  const labels = Object.fromEntries(Object.entries(config.fields).map(([name, field]) => [name, field.label]));
  const sequence = () => config.sequences[state.sequence];

  function format(name, value) {
    const { unit, whole } = config.fields[name];
    if (unit === "°") return `${value.toFixed(0)}°`;
    if (unit === "") return value.toFixed(whole ? 0 : 2);
    return value < 0.1 ? `${(1000 * value).toPrecision(3)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
  }

  /* --- elements ---------------------------------------------------------------------------------------------- */

  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made && key !== "style") made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }
  const drawn = (tag, properties = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const choice = (text, options, changed) => {
    const menu = element("select", { onchange: () => changed(menu.value) }, ...options);
    return [element("label", {}, element("span", {}, text), menu), menu];
  };
  const option = (value, title) => element("option", { value }, title);
  const tick = (text, checked, changed) => {
    const box = element("input", { type: "checkbox", checked, onchange: () => changed(box.checked) });
    return [element("label", { className: "tick" }, box, text), box];
  };

  const canvas = element("canvas", { tabIndex: 0, role: "application", "aria-roledescription": "scan", className: "image" });
  const marker = element("div", { className: "marker", hidden: true, "aria-hidden": "true" });
  const scale = element("div", { className: "scale" }, element("span"), element("i", { "aria-hidden": "true" }), element("span"));
  const message = element("p", { className: "message", role: "alert" });
  const spoken = element("p", { className: "spoken", "aria-live": "polite" });
  const knobs = element("div", { className: "knobs" });
  const more = element("div", { className: "knobs" });
  const moreBox = element("details", {}, element("summary", {}, "more settings"), more);
  const bars = element("div", { className: "bars" });
  const hint = "Click a voxel, or focus the image and use the arrow keys, to see its tissue.";
  const voxelText = element("p", { className: "voxel" }, hint);
  const curves = drawn("svg", { class: "curves", role: "img", viewBox: "0 0 360 160" });
  let [brainChoice, brainMenu] = choice("brain", brains.map((b, i) => option(i, b.name)), (i) => showBrain(brains[i]));
  const which = element("output", { "aria-live": "off" });
  if (config.gallery) {
    const next = element("button", { type: "button", disabled: brains.length < 2 }, "new brain");
    next.onclick = () => showBrain(brains[(brains.indexOf(state.brain) + 1) % brains.length]);
    brainChoice = element("span", { className: "gallery" }, next, which);
  }
  const [sequenceLabel, sequenceMenu] = choice("sequence", groups(), (n) => choose(n));
  const [signLabel, signBox] = tick("keep the sign", false, (on) => { state.signed = on; draw(); });
  const [exactLabel, exactBox] = tick("exact equation", false, () => choose(partner(state.sequence), state.settings));
  const [autoLabel, autoBox] = tick("adjust brightness", true, (on) => { state.auto = on; draw(); });
  const presets = element("div", { className: "presets", role: "group", "aria-label": "presets" });
  const presetButtons = config.presets.map((preset) => [preset, element("button", {
    type: "button", onclick: () => choose(preset.sequence, preset.settings) }, preset.name)]);
  presets.append(...presetButtons.map(([, button]) => button));
  const resetButton = element("button", { type: "button", className: "reset", onclick: reset }, "reset");
  root.append(
    element("div", { className: "top" }, brainChoice, sequenceLabel, resetButton, presets),
    element("div", { className: "middle" },
      element("div", { className: "screen" }, element("div", { className: "frame" }, canvas, marker), scale),
      element("div", { className: "panel" }, knobs, moreBox, element("div", { className: "ticks" }, signLabel, exactLabel, autoLabel), message, bars, curves, voxelText)),
    spoken);

  /* --- settings ---------------------------------------------------------------------------------------------- */

  function partner(name) {
    const twin = config.sequences[name].standsFor;
    return twin || Object.keys(config.sequences).find((n) => config.sequences[n].standsFor === name);
  }

  /* The menu: the paper's three, then up to the last exact one what scanners play, then the rest. */
  function groups() {
    const names = Object.keys(config.sequences), exact = names.map((n) => !config.sequences[n].standsFor && Boolean(partner(n)));
    const kind = (n, i) => (config.sequences[n].standsFor ? "Eq. 1" : i <= exact.lastIndexOf(true) ? "as scanners play them" : "further ones");
    const made = [];
    names.forEach((name, i) => {
      if (made.at(-1)?.label !== kind(name, i)) made.push(element("optgroup", { label: kind(name, i) }));
      made.at(-1).append(option(name, config.sequences[name].title));
    });
    return made;
  }

  /* A sequence's usual settings, but for those given that it knows. */
  const settingsOf = (name, given) => {
    const { usual } = config.sequences[name];
    return { ...usual, ...Object.fromEntries(Object.entries(given).filter(([key]) => key in usual)) };
  };

  function choose(name, settings = {}) {
    state.sequence = name;
    state.settings = settingsOf(name, settings);
    sequenceMenu.value = name;
    exactBox.disabled = !partner(name);
    exactBox.checked = !exactBox.disabled && !sequence().standsFor;
    signBox.disabled = sequence().signed;
    makeKnobs();
    draw();
  }

  function reset() {
    state.voxel = null;
    state.signed = signBox.checked = false;
    state.auto = autoBox.checked = true;
    choose(config.start);
  }

  /* Times and spacings turn logarithmically; angles and counts in whole steps, shares in hundredths. */
  function makeKnobs() {
    knobs.replaceChildren();
    more.replaceChildren();
    for (const name of sequence().takes) {
      const { label, meaning, unit, whole, span: [low, high] } = config.fields[name];
      const time = unit === "s";
      const position = (v) => (time ? (1000 * Math.log(v / low)) / Math.log(high / low) : v);
      const value = (x) => (time ? low * Math.pow(high / low, x / 1000) : Number(x));
      const shown = element("span", { className: "value", "aria-hidden": "true" });
      const slider = element("input", {
        type: "range", min: time ? 0 : low, max: time ? 1000 : high, step: time || whole || unit ? 1 : 0.01, title: meaning,
        oninput: () => { state.settings[name] = value(slider.value); show(); draw(); },
      });
      const show = () => {
        shown.textContent = format(name, state.settings[name]);
        slider.setAttribute("aria-valuetext", shown.textContent);
      };
      slider.dataset.setting = name;
      slider.value = position(Math.max(state.settings[name], low));
      show();
      (config.common.includes(name) ? knobs : more).append(element("label", {}, element("span", {}, label), slider, shown));
    }
    moreBox.hidden = more.childElementCount === 0;
  }

  /* --- drawing ----------------------------------------------------------------------------------------------- */

  /* Another brain under the same scan; the chosen voxel stays where it is, if there is such a place. */
  function showBrain(brain) {
    state.brain = brain;
    state.image = null;
    canvas.width = brain.width;
    canvas.height = brain.height;
    if (state.voxel && (state.voxel[0] >= brain.width || state.voxel[1] >= brain.height)) state.voxel = null;
    brainMenu.value = brains.indexOf(brain);
    which.value = brain.name;
    draw();
  }

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawNow(); });
  }

  function drawNow() {
    const began = performance.now();
    state.refused = physldmCore.refusal(sequence().limits, state.settings, labels, format);
    message.textContent = state.refused || "";
    for (const old of [canvas, bars, voxelText, curves]) old.classList.toggle("stale", Boolean(state.refused));
    for (const [preset, button] of presetButtons) {
      const settings = settingsOf(preset.sequence, preset.settings);
      const chosen = preset.sequence === state.sequence && Object.keys(settings).every((k) => settings[k] === state.settings[k]);
      button.setAttribute("aria-pressed", chosen);
    }
    if (!state.refused) scanNow(began);
    drawVoxel();
    describe();
  }

  function scanNow(began) {
    const signed = state.signed || sequence().signed;
    state.image = physldmCore.scan(state.brain, sequence().equation, state.settings);
    const top = state.auto ? physldmCore.brightest(state.image, state.brain.inside) : 1;
    const pixels = new ImageData(canvas.width, canvas.height), words = new Uint32Array(pixels.data.buffer);
    for (let k = 0; k < words.length; k++) {
      const share = signed ? 0.5 + state.image[k] / top / 2 : Math.abs(state.image[k]) / top;
      const grey = Math.max(0, Math.min(255, Math.round(255 * share)));
      words[k] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    scale.firstChild.textContent = signed ? (-top).toPrecision(2) : "0";
    scale.lastChild.textContent = `${top.toPrecision(2)}  ${sequence().unitless ? "no unit" : config.unit}`;
    state.milliseconds = performance.now() - began;
    drawBars(top);
    drawCurves();
  }

  /* Signed signal of the table's tissues; a full bar is as bright as the image gets. */
  function drawBars(top) {
    const at = sequence().equation(state.settings);
    bars.replaceChildren(...config.tissues.map((t) => {
      const s = at(t.pd, t.t1, t.t2);
      const share = 50 * Math.max(-1, Math.min(1, s / top));
      const bar = element("i", { style: `background:${t.colour};left:${50 + Math.min(0, share)}%;width:${Math.abs(share)}%` });
      return element("div", {}, element("span", {}, t.name), element("b", { "aria-hidden": "true" }, bar), element("span", {}, `${s < 0 ? "−" : "+"}${Math.abs(s).toFixed(3)}`));
    }));
  }

  /* PD, T1, T2 of the chosen voxel, or null where none is chosen or there is no water. */
  function voxelTissue() {
    if (!state.voxel) return null;
    const k = state.voxel[1] * state.brain.width + state.voxel[0];
    const tissue = state.brain.maps.map((m) => m[k]);
    return tissue[0] > 0 ? tissue : null;
  }

  function drawVoxel() {
    marker.hidden = state.voxel === null;
    voxelText.textContent = hint;
    if (state.voxel === null) return;
    const [x, y] = state.voxel, { width, height } = state.brain, tissue = voxelTissue();
    marker.style.left = `${(100 * (x + 0.5)) / width}%`;
    marker.style.top = `${(100 * (y + 0.5)) / height}%`;
    voxelText.textContent = `Voxel ${x}, ${y}: no water here.`;
    if (!tissue) return;
    const [pd, t1, t2] = tissue;
    voxelText.textContent = `Voxel ${x}, ${y}: PD ${pd.toFixed(2)}, T1 ${t1.toFixed(2)} s, T2 ${(1000 * t2).toFixed(0)} ms; ${signalText(tissue)}.`;
  }

  function signalText(tissue) {
    if (state.refused || !state.image) return "not scanned";
    const signal = state.image[state.voxel[1] * state.brain.width + state.voxel[0]];
    const zero = physldmCore.nullTime(sequence(), state.settings, tissue);
    const when = zero === null ? "no null" : `null at TI ${format("ti", zero)}, once repeated every ${format("tr", state.settings.tr)}`;
    return `signal ${signal < 0 ? "−" : ""}${Math.abs(signal).toFixed(3)}; ${when}`;
  }

  /* The signal of this very sequence, sign kept, against the two of its settings that contrast is made with. Every
     curve comes from the equation that makes the image, so a curve crosses zero where its tissue has its null. */
  function drawCurves() {
    const tissue = voxelTissue();
    const lines = config.tissues.map((t) => ({ name: t.name, at: [t.pd, t.t1, t.t2], colour: t.colour, dashes: t.dashes, width: 1.8 }));
    if (tissue) lines.push({ name: "voxel", at: tissue, colour: "currentColor", dashes: "none", width: 2.6 });
    const panels = config.against.filter((name) => sequence().takes.includes(name)).slice(0, 2).map((name) => swept(name, lines));
    const values = panels.flatMap((panel) => panel.values.flat()).filter(Number.isFinite);
    const low = Math.min(0, ...values), high = Math.max(0, ...values, low + 1e-6);
    curves.replaceChildren(...panels.map((panel, i) => graph(panel, 30 + 176 * i, low, high, lines)), legend(lines));
    const named = panels.map(({ name }) => `${labels[name]} (now ${format(name, state.settings[name])})`).join(" and ");
    const zero = tissue && physldmCore.nullTime(sequence(), state.settings, tissue);
    curves.setAttribute("aria-label", `Signal of ${lines.map((line) => line.name).join(", ")} against ${named}.` +
      (tissue ? ` The voxel has T1 ${tissue[1].toFixed(2)} s and T2 ${(1000 * tissue[2]).toFixed(0)} ms` +
        `${zero === null ? "" : ` and crosses zero at TI ${format("ti", zero)}`}.` : ""));
  }

  /* Signals over the possible values of one setting; NaN where the sequence cannot be played. */
  function swept(name, lines) {
    const of = (x) => ({ ...state.settings, [name]: x }), points = 90;
    const possible = (x) => physldmCore.refusal(sequence().limits, of(x), {}, String) === null;
    const range = (to) => Array.from({ length: points + 1 }, (_, i) => (i * to) / points);
    const now = state.settings[name], { unit, span } = config.fields[name];
    let longest = unit === "°" ? 90 : { ti: 3, te: 0.2 }[name] || 5;
    longest = Math.min(Math.max(longest, 1.25 * now), unit === "°" ? span[1] : Infinity);
    const last = Math.max(now, ...range(longest).filter(possible));
    if (last < 0.7 * longest) longest = 1.05 * last;
    const xs = range(longest);
    const played = xs.map((x) => possible(x) && sequence().equation(of(x)));
    return { name, now, xs, longest, values: lines.map(({ at }) => played.map((f) => (f ? f(...at) : NaN))) };
  }

  function graph({ name, now, xs, longest, values }, left, low, high, lines) {
    const wide = 144, X = (x) => left + (x / longest) * wide, Y = (v) => 22 + ((high - v) / (high - low)) * 92;
    const text = (x, y, words, anchor) => drawn("text", { x, y, "text-anchor": anchor }, words);
    const rule = (x1, y1, x2, y2, dashes) => drawn("line", { x1, y1, x2, y2, class: "rule", "stroke-dasharray": dashes || "none" });
    const made = drawn("g", { class: "graph", "data-against": name });
    made.append(rule(left, 22, left, 114), rule(left, Y(0), left + wide, Y(0)), rule(X(now), 22, X(now), 114, "3 2"),
      text(Math.min(Math.max(X(now), left + 30), left + wide - 30), 14, `${labels[name]} ${format(name, now)}`, "middle"),
      text(left - 4, Y(0) + 4, "0", "end"), text(left, 128, "0", "middle"), text(left + wide, 128, format(name, longest), "end"),
      text(left + wide / 2, 128, labels[name], "middle"));
    for (const v of [low, high]) if (Math.abs(Y(v) - Y(0)) > 12) made.append(text(left - 4, Y(v) + 4, v.toPrecision(1).replace("-", "−"), "end"));
    lines.forEach(({ name: of, colour, dashes, width }, i) => {
      let pen = "M";
      const d = values[i].map((v, j) => {
        if (!Number.isFinite(v)) { pen = "M"; return ""; }
        const step = `${pen}${X(xs[j]).toFixed(1)} ${Y(v).toFixed(1)}`;
        pen = "L";
        return step;
      }).join("");
      made.append(drawn("path", { d, fill: "none", stroke: colour, "stroke-width": width, "stroke-dasharray": dashes, "data-tissue": of }));
    });
    const zero = name === "ti" && voxelTissue() && physldmCore.nullTime(sequence(), state.settings, voxelTissue());
    if (zero && zero <= longest) made.append(drawn("circle", { cx: X(zero), cy: Y(0), r: 4, class: "null" }));
    return made;
  }

  function legend(lines) {
    const made = drawn("g", { class: "legend" });
    let x = 30;
    for (const { name, colour, dashes, width } of lines) {
      made.append(drawn("line", { x1: x, x2: x + 22, y1: 149, y2: 149, stroke: colour, "stroke-width": width, "stroke-dasharray": dashes }),
        drawn("text", { x: x + 26, y: 153 }, name));
      x += 40 + 6 * name.length;
    }
    return made;
  }

  /* What changed is said once the knob rests, not at every step. */
  const said = {};
  let speaking = 0;
  function describe() {
    const settings = sequence().takes.filter((n) => state.settings[n] !== config.fields[n].ideal).map((n) => `${labels[n]} ${format(n, state.settings[n])}`).join(", ");
    const tissue = [...bars.children].map((row) => `${row.firstChild.textContent} ${row.lastChild.textContent}`).join(", ");
    const scan = state.refused ? "" : `${sequence().title}, ${settings}. Signal: ${tissue}.`;
    canvas.setAttribute("aria-label", `Slice of ${state.brain.name}; the arrow keys move a voxel. ` +
      (state.refused ? `${state.refused} ${state.image ? "The picture is that of the last possible settings." : "There is no picture."}` : scan));
    const now = {
      scan,
      sign: state.signed || sequence().signed ? "The sign is kept: grey is zero." : "Magnitude: black is zero.",
      brain: brains.length > 1 ? `Now ${state.brain.name}.` : "",
      voxel: state.voxel ? voxelText.textContent : "",
    };
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      const news = Object.keys(now).filter((key) => now[key] !== said[key]);
      if (news.length) spoken.textContent = news.map((key) => now[key]).join(" ");
      Object.assign(said, now);
    }, 400);
  }

  /* --- the pointer and the arrows ------------------------------------------------------------------------------ */

  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    moveTo(((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = state.voxel || [canvas.width / 2, canvas.height / 2];
    moveTo(x + step[0], y + step[1]);
  });
  function moveTo(x, y) {
    state.voxel = [Math.max(0, Math.min(canvas.width - 1, Math.floor(x))), Math.max(0, Math.min(canvas.height - 1, Math.floor(y)))];
    drawVoxel();
    if (!state.refused) drawCurves();
    describe();
  }

  root.physldm = { state, drawNow, core: physldmCore };
  showBrain(brains[0]);
  choose(config.start);
}
