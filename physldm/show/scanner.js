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
    signed: false, auto: true, voxel: null, image: null, milliseconds: 0,
  };
  const labels = Object.fromEntries(Object.entries(config.fields).map(([name, field]) => [name, field.label]));
  const sequence = () => config.sequences[state.sequence];

  function format(name, value) {
    const unit = config.fields[name].unit;
    if (unit === "°") return `${value.toFixed(0)}°`;
    if (unit === "") return `${Math.round(value)}`;
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
  const choice = (text, options, changed) => {
    const menu = element("select", { onchange: () => changed(menu.value) });
    for (const [value, title] of options) menu.append(element("option", { value }, title));
    return [element("label", {}, element("span", {}, text), menu), menu];
  };
  const tick = (text, checked, changed) => {
    const box = element("input", { type: "checkbox", checked, onchange: () => changed(box.checked) });
    return [element("label", { className: "tick" }, box, text), box];
  };

  const canvas = element("canvas", { tabIndex: 0, role: "img", className: "image" });
  const marker = element("div", { className: "marker", hidden: true, "aria-hidden": "true" });
  const scale = element("div", { className: "scale" }, element("span"), element("i", { "aria-hidden": "true" }), element("span"));
  const message = element("p", { className: "message", role: "alert" });
  const spoken = element("p", { className: "spoken", "aria-live": "polite" });
  const knobs = element("div", { className: "knobs" });
  const more = element("div", { className: "knobs" });
  const moreBox = element("details", {}, element("summary", {}, "more settings"), more);
  const bars = element("div", { className: "bars" });
  const voxelText = element("p", { className: "voxel" }, "Click a voxel, or focus the image and use the arrow keys, to see its tissue.");
  const curves = element("canvas", { className: "curves", hidden: true, role: "img" });
  const show = (i) => { state.brain = brains[i]; resize(); draw(); };
  let [brainChoice] = choice("brain", brains.map((b, i) => [i, b.name]), show);
  if (config.gallery) {
    const which = element("output", {}, brains[0].name);
    const next = element("button", { type: "button", disabled: brains.length < 2 }, "new brain");
    next.onclick = () => { show((brains.indexOf(state.brain) + 1) % brains.length); which.value = state.brain.name; };
    brainChoice = element("span", { className: "gallery" }, next, which);
  }
  const [sequenceLabel, sequenceMenu] = choice("sequence", Object.entries(config.sequences).map(([n, s]) => [n, s.title]), (n) => choose(n));
  const [signLabel, signBox] = tick("keep the sign", false, (on) => { state.signed = on; draw(); });
  const [exactLabel, exactBox] = tick("exact equation", false, () => choose(partner(state.sequence), state.settings));
  const [autoLabel] = tick("adjust brightness", true, (on) => { state.auto = on; draw(); });
  const presets = element("div", { className: "presets", role: "group", "aria-label": "presets" });
  for (const preset of config.presets) {
    presets.append(element("button", { type: "button", onclick: () => choose(preset.sequence, preset.settings) }, preset.name));
  }
  root.append(
    element("div", { className: "top" }, brainChoice, sequenceLabel, presets),
    element("div", { className: "middle" },
      element("div", { className: "screen" }, element("div", { className: "frame" }, canvas, marker), scale),
      element("div", { className: "panel" }, knobs, moreBox, element("div", { className: "ticks" }, signLabel, exactLabel, autoLabel), message, bars, voxelText, curves)),
    spoken);

  /* --- settings ---------------------------------------------------------------------------------------------- */

  function partner(name) {
    const twin = config.sequences[name].standsFor;
    return twin || Object.keys(config.sequences).find((n) => config.sequences[n].standsFor === name);
  }

  function choose(name, settings = {}) {
    state.sequence = name;
    const known = sequence().usual;
    state.settings = { ...known };
    for (const key of Object.keys(settings)) if (key in known) state.settings[key] = settings[key];
    sequenceMenu.value = name;
    exactBox.disabled = !partner(name);
    exactBox.checked = !exactBox.disabled && !sequence().standsFor;
    signBox.disabled = sequence().signed;
    makeKnobs();
    draw();
  }

  /* Times and spacings turn logarithmically; angles and counts in whole steps. */
  function makeKnobs() {
    knobs.replaceChildren();
    more.replaceChildren();
    for (const name of sequence().takes) {
      const { label, meaning, unit, span: [low, high] } = config.fields[name];
      const time = unit === "s";
      const position = (v) => (time ? (1000 * Math.log(v / low)) / Math.log(high / low) : v);
      const value = (x) => (time ? low * Math.pow(high / low, x / 1000) : Number(x));
      const shown = element("output");
      const slider = element("input", {
        type: "range", min: time ? 0 : low, max: time ? 1000 : high, step: 1, title: meaning,
        oninput: () => { state.settings[name] = value(slider.value); show(); draw(); },
      });
      const show = () => {
        shown.value = format(name, state.settings[name]);
        slider.setAttribute("aria-valuetext", shown.value);
      };
      slider.dataset.setting = name;
      slider.value = position(Math.max(state.settings[name], low));
      show();
      (config.common.includes(name) ? knobs : more).append(element("label", {}, element("span", {}, label), slider, shown));
    }
    moreBox.hidden = more.childElementCount === 0;
  }

  /* --- drawing ----------------------------------------------------------------------------------------------- */

  function resize() {
    canvas.width = state.brain.width;
    canvas.height = state.brain.height;
    state.voxel = null;
  }

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawNow(); });
  }

  function drawNow() {
    const began = performance.now();
    const refused = physldmCore.refusal(sequence().limits, state.settings, labels, format);
    message.textContent = refused || "";
    for (const old of [canvas, bars, voxelText, curves]) old.classList.toggle("stale", Boolean(refused));
    if (refused) return;
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
    drawVoxel();
    describe();
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

  function drawVoxel() {
    marker.hidden = curves.hidden = state.voxel === null;
    if (state.voxel === null) return;
    const { width, height, maps } = state.brain, [x, y] = state.voxel, k = y * width + x;
    marker.style.left = `${(100 * (x + 0.5)) / width}%`;
    marker.style.top = `${(100 * (y + 0.5)) / height}%`;
    const [pd, t1, t2] = maps.map((m) => m[k]);
    if (!(pd > 0)) {
      voxelText.textContent = `Voxel ${x}, ${y}: no water here.`;
      curves.hidden = true;
      return;
    }
    const zero = physldmCore.nullTime(sequence(), state.settings, [pd, t1, t2]);
    voxelText.textContent = `Voxel ${x}, ${y}: PD ${pd.toFixed(2)}, T1 ${t1.toFixed(2)} s, T2 ${(1000 * t2).toFixed(0)} ms; ` +
      `signal ${state.image[k] < 0 ? "−" : ""}${Math.abs(state.image[k]).toFixed(3)}; ${zero === null ? "no null" : `null at TI ${format("ti", zero)}, once repeated every ${format("tr", state.settings.tr)}`}.`;
    drawCurves(t1, t2);
  }

  /* Recovery after an inversion and decay after an excitation. */
  function drawCurves(t1, t2) {
    const ratio = window.devicePixelRatio || 1, w = 340, h = 130;
    curves.width = w * ratio;
    curves.height = h * ratio;
    const pen = curves.getContext("2d"), ink = getComputedStyle(root).color;
    pen.scale(ratio, ratio);
    pen.font = "11px sans-serif";
    const plot = (left, longest, low, title, curve, colour) => {
      const X = (t) => left + (t / longest) * 130, Y = (v) => 20 + ((1 - v) / (1 - low)) * 80;
      pen.fillStyle = pen.strokeStyle = ink;
      pen.lineWidth = 1;
      pen.strokeRect(left, 20, 130, 80);
      pen.beginPath();
      pen.moveTo(left, Y(0));
      pen.lineTo(left + 130, Y(0));
      pen.stroke();
      pen.fillText(title, left, 13);
      pen.fillText("1", left - 10, 26);
      pen.fillText(String(low), left - 14, 102);
      pen.fillText("0", left, 113);
      pen.textAlign = "right";
      pen.fillText(`${longest} s`, left + 130, 113);
      pen.textAlign = "left";
      pen.fillText("time", left + 52, 126);
      pen.strokeStyle = colour;
      pen.lineWidth = 2;
      pen.beginPath();
      for (let i = 0; i <= 130; i++) pen.lineTo(left + i, Y(curve((i / 130) * longest)));
      pen.stroke();
    };
    plot(22, 5, -1, "Mz after a first inversion", (t) => 1 - 2 * Math.exp(-t / t1), "#0072B2");
    plot(198, 0.5, 0, "share of signal left", (t) => Math.exp(-t / t2), "#D55E00");
    curves.setAttribute("aria-label", `Recovery with T1 ${t1.toFixed(2)} s and decay with T2 ${(1000 * t2).toFixed(0)} ms.`);
  }

  let speaking = 0;
  function describe() {
    const settings = sequence().takes.map((n) => `${labels[n]} ${format(n, state.settings[n])}`).join(", ");
    const tissue = [...bars.children].map((row) => `${row.firstChild.textContent} ${row.lastChild.textContent}`).join(", ");
    const text = `${sequence().title}, ${settings}. Signal: ${tissue}.`;
    canvas.setAttribute("aria-label", `Slice of ${state.brain.name}. ${text}`);
    clearTimeout(speaking);
    speaking = setTimeout(() => { spoken.textContent = text; }, 400); // once the knob rests, not at every step
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
    if (state.image) drawVoxel();
  }

  root.physldm = { state, drawNow, core: physldmCore };
  resize();
  choose(config.start);
}
