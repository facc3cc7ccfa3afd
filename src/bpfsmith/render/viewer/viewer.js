"use strict";
// Everything is made with textContent: nothing of a log is ever taken for markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const HEIGHT = 20; // of a row, as in the style
  const KEPT = 256; // steps between states that are kept whole
  let program, at = 0, shown = null, history = [], kept = [];

  const make = (tag, cls, text) => {
    const made = document.createElement(tag);
    if (cls) made.className = cls;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // What stands between backticks is code.
  const worded = (tag, cls, text) => {
    const made = make(tag, cls), parts = String(text).split("`");
    parts.forEach((part, index) => {
      const whole = index % 2 === 0 || index === parts.length - 1;
      if (part) made.append(whole ? document.createTextNode((index % 2 ? "`" : "") + part) : make("code", "", part));
    });
    return made;
  };
  // Only the pane is scrolled: scrollIntoView would scroll the page away from the headline, too.
  const reveal = (pane, row) => {
    const box = pane.getBoundingClientRect(), one = row.getBoundingClientRect();
    pane.scrollTop += one.top - box.top - (pane.clientHeight - one.height) / 2;
  };

  // ---- states: what each step changed, gathered from the nearest one that is kept
  const copy = (frames) => new Map([...frames].map(([frame, names]) => [frame, new Map(names)]));
  function stateAt(step) {
    let from = -1, frames = new Map();
    for (let index = Math.floor(step / KEPT); index >= 0; index--) {
      if (kept[index]) { from = index * KEPT; frames = copy(kept[index]); break; }
    }
    for (let index = from + 1; index <= step; index++) {
      apply(frames, index);
      if (index % KEPT === 0) kept[index / KEPT] = copy(frames);
    }
    return frames;
  }
  function apply(frames, index) {
    const step = program.steps[index], depth = step.frame || 0;
    for (const frame of [...frames.keys()]) if (frame > depth + 1) frames.delete(frame);
    for (const [frame, names] of Object.entries(step.after || {})) {
      const number = Number(frame);
      if (!frames.has(number)) frames.set(number, new Map());
      for (const [name, value] of Object.entries(names)) {
        if (value === null) frames.get(number).delete(name); else frames.get(number).set(name, value);
      }
    }
  }

  // ---- where a value came from: the last step before `step` that wrote the name in that frame
  function origin(name, step, frame) {
    for (let index = step; index >= 0; index--) {
      const one = program.steps[index], depth = one.frame || 0;
      if (depth === frame && (one.writes || []).includes(name)) return index;
      // A frame begins with what its caller passed: r1 .. r5 are the caller's.
      if (depth === frame && index > 0 && (program.steps[index - 1].frame || 0) < frame) {
        return /^r[1-5]$/.test(name) ? index - 1 : null;
      }
    }
    return null;
  }
  function jump(name) {
    const step = program.steps[at], frame = step.frame || 0;
    // What an instruction itself wrote came from what it read; so a second click goes on from there.
    let found = origin(name, at, frame);
    if (found === at) {
      const source = (step.reads || []).find((one) => one !== name) || (step.reads || [])[0];
      found = source === undefined ? at : origin(source, at - 1, frame);
      if (found !== null && found !== at) say(`${name} was made of ${source}, which was written here`);
      else say(`${name} comes from this instruction`);
    } else if (found !== null) say(`${name} was written here`);
    if (found === null) { say(`${name} was there before this path begins`); return; }
    if (found !== at) { history.push(at); go(found, true); }
  }
  const say = (text) => { $("origin").textContent = text; };

  // ---- drawing
  function drawState() {
    const step = program.steps[at], frame = step.frame || 0;
    const frames = stateAt(at), body = $("values");
    body.replaceChildren();
    $("frame").textContent = `state after step ${at + 1}${frame ? `, frame ${frame}` : ""}`;
    const changed = (step.after || {})[String(frame)] || {};
    const names = [...(frames.get(frame) || new Map()).keys()];
    const order = (name) => (name.startsWith("r") ? Number(name.slice(1)) : 100 - Number(name.slice(2)));
    names.sort((one, other) => order(one) - order(other));
    let part = "";
    for (const name of names) {
      const [type, text] = frames.get(frame).get(name), kind = name.startsWith("r") ? "registers" : "stack";
      if (kind !== part) { part = kind; const row = make("tr", "part"); const cell = make("td", "", kind); cell.colSpan = 2; row.append(cell); body.append(row); }
      const row = make("tr");
      if (name in changed) row.classList.add("changed");
      if ((step.reads || []).includes(name)) row.classList.add("read");
      const head = make("th", "", name); head.scope = "row";
      const cell = make("td", "", text);
      cell.setAttribute("role", "button"); cell.tabIndex = 0; cell.dataset.name = name;
      cell.title = `where ${name} came from`;
      row.append(head, cell); body.append(row);
    }
    if (!names.length) { const row = make("tr"); const cell = make("td", "", "the log has no state here"); row.append(cell); body.append(row); }
  }
  function drawRows() {
    const box = $("rows"), tall = $("tall");
    const first = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - 8);
    const last = Math.min(program.steps.length, first + Math.ceil(box.clientHeight / HEIGHT) + 16);
    tall.replaceChildren();
    for (let index = first; index < last; index++) {
      const step = program.steps[index];
      const row = make("div", "row"); row.style.top = `${index * HEIGHT}px`; row.dataset.step = index;
      if (program.inChain.has(index)) row.classList.add("chain");
      if (index === program.causeStep) row.classList.add("cause");
      if (index === program.steps.length - 1 && program.verdict === "rejected") row.classList.add("last");
      if (index === at) { row.classList.add("here"); row.setAttribute("aria-current", "step"); }
      row.append(make("span", "slot", step.slot), make("span", "text", `${"  ".repeat(step.frame || 0)}${step.text}`));
      if (step.how) row.append(make("span", "how", `   ${step.how}`));
      tall.append(row);
    }
  }
  function drawSource() {
    const place = program.places[program.steps[at] ? program.steps[at].place : -1] || program.cause;
    const path = place ? place.path : null;
    if (path !== shown) {
      shown = path;
      const box = $("lines"); box.replaceChildren();
      $("file").textContent = path || "source";
      const has = new Set();
      program.steps.forEach((step) => { const one = program.places[step.place]; if (one && one.path === path) has.add(one.line); });
      for (const [number, text] of (path && program.files[path]) || []) {
        if (number === null) { box.append(make("div", "gap", "     ...")); continue; }
        const row = make("div", has.has(number) ? "has" : ""); row.dataset.line = number;
        row.append(make("span", "number", path === data.quoted ? "" : number), make("span", "code", text));
        const facts = program.chain.filter((fact) => fact.place && fact.place.path === path && fact.place.line === number);
        if (facts.length) row.classList.add("chain");
        if (program.cause && program.cause.path === path && program.cause.line === number) row.classList.add("cause");
        box.append(row);
        const last = (program.chain[program.chain.length - 1] || {}).fact;
        for (const fact of new Set(facts.map((one) => one.fact))) box.append(worded("div", fact === last ? "said end" : "said", `^ ${fact}`));
      }
    }
    for (const row of $("lines").querySelectorAll(".here")) row.classList.remove("here");
    if (!place || !place.line) return;
    const row = $("lines").querySelector(`[data-line="${place.line}"]`);
    if (row) { row.classList.add("here"); reveal($("source"), row); }
  }
  function drawChain() {
    [...$("chain").children].forEach((one, index) => {
      const now = program.chain[index] && program.chain[index].step === at;
      one.classList.toggle("now", Boolean(now));
    });
  }
  function go(step, keep) {
    if (!program.steps.length) { drawSource(); return; }
    at = Math.max(0, Math.min(program.steps.length - 1, step));
    if (!keep) say("");
    const box = $("rows"), top = at * HEIGHT;
    $("tall").style.height = `${program.steps.length * HEIGHT}px`;
    if (top < box.scrollTop + HEIGHT || top > box.scrollTop + box.clientHeight - 2 * HEIGHT) box.scrollTop = top - box.clientHeight / 2;
    $("count").textContent = `step ${at + 1} of ${program.steps.length}`;
    drawRows(); drawState(); drawSource(); drawChain();
  }
  function link(direction) {
    const stops = [...program.inChain].sort((one, other) => one - other);
    const found = direction > 0 ? stops.find((one) => one > at) : stops.reverse().find((one) => one < at);
    if (found !== undefined) go(found);
  }
  function open(index) {
    program = data.programs[index]; shown = undefined; history = []; kept = [];
    program.inChain = new Set(program.chain.map((fact) => fact.step).filter((step) => step !== null));
    $("class").textContent = program.class || program.verdict;
    const place = program.cause;
    const named = [program.program && `program ${program.program}`, program.kernel && `kernel ${program.kernel}`,
      place && place.path !== data.quoted && `${place.path}:${place.line}`, program.confidence && `confidence ${program.confidence}`];
    $("where").textContent = named.filter(Boolean).join(" · ");
    $("headline").replaceChildren(...worded("span", "", program.headline).childNodes);
    $("message").textContent = program.message ? `verifier: ${program.message}${program.family ? `  [${program.family}]` : ""}` : "";
    const list = $("chain"); list.replaceChildren();
    program.chain.forEach((fact, number) => {
      const item = make("li"), button = make("button"); button.type = "button";
      const where = fact.place && fact.place.path !== data.quoted ? `${fact.place.path.split("/").pop()}:${fact.place.line}` : fact.slot === null ? "" : `instruction ${fact.slot}`;
      if (number === program.chain.length - 1) item.className = "end";
      button.append(make("span", "at", where), worded("span", "said", fact.fact));
      button.disabled = fact.step === null;
      button.addEventListener("click", () => { history.push(at); go(fact.step); });
      item.append(button); list.append(item);
    });
    for (const fix of program.fixes) { const item = make("li"); item.append(make("span", "at", "fix"), worded("span", "", fix)); list.append(item); }
    const notes = [...program.notes, ...data.notes];
    if (program.left) notes.push(`${program.left} steps before the first one here are left out`);
    for (const note of notes) { const item = make("li"); item.append(make("span", "at", "note"), worded("span", "", note)); list.append(item); }
    go(program.steps.length - 1);
  }

  // ---- events
  const theme = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
  $("first").addEventListener("click", () => go(0));
  $("last").addEventListener("click", () => go(program.steps.length - 1));
  $("previous").addEventListener("click", () => go(at - 1));
  $("next").addEventListener("click", () => go(at + 1));
  $("theme").addEventListener("click", theme);
  $("keys").addEventListener("click", () => $("help").showModal());
  $("rows").addEventListener("scroll", drawRows);
  addEventListener("resize", drawRows);
  $("tall").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) go(Number(row.dataset.step));
  });
  $("values").addEventListener("click", (event) => {
    const cell = event.target.closest("[data-name]");
    if (cell) jump(cell.dataset.name);
  });
  $("lines").addEventListener("click", (event) => {
    const row = event.target.closest("[data-line]");
    if (!row) return;
    const line = Number(row.dataset.line), count = program.steps.length;
    for (let index = 1; index <= count; index++) {
      const step = (at + index) % count, place = program.places[program.steps[step].place];
      if (place && place.path === shown && place.line === line) { history.push(at); go(step); return; }
    }
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || event.target.tagName === "SELECT") return;
    const cell = event.target.dataset && event.target.dataset.name;
    const keys = {
      j: () => go(at + 1), ArrowDown: () => go(at + 1), k: () => go(at - 1), ArrowUp: () => go(at - 1),
      n: () => link(1), p: () => link(-1), Home: () => go(0), End: () => go(program.steps.length - 1),
      PageDown: () => go(at + 20), PageUp: () => go(at - 20), t: theme, "?": () => $("help").showModal(),
      b: () => { if (history.length) go(history.pop()); },
      c: () => { if (program.causeStep !== null) { history.push(at); go(program.causeStep); } },
    };
    if ((event.key === "Enter" || event.key === " ") && cell) { event.preventDefault(); jump(cell); return; }
    if (/^[0-9]$/.test(event.key)) { jump(`r${event.key}`); return; }
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  if (data.programs.length > 1) {
    $("pick").hidden = false;
    data.programs.forEach((one, index) => { const made = make("option", "", one.program || `load ${index + 1}`); made.value = index; $("programs").append(made); });
    $("programs").addEventListener("change", (event) => open(Number(event.target.value)));
  }
  const rejected = data.programs.findIndex((one) => one.verdict === "rejected");
  if (data.programs.length) { $("programs").value = Math.max(0, rejected); open(Math.max(0, rejected)); }
})();
