// The page as a whole: what is selected, looked for and shown, and how keys, clicks and links change that.

const ZOOM_START = 4;
const KEYS = [
  [["j", "k"], "next and previous event"], [["J", "K"], "the same, in this lane"], [["n", "p"], "next and previous match; without a search, fault"],
  [["[", "]"], "to what made it happen; to what it leads to"], [["v"], "the violation"], [["g"], "go to an event, a zxid or a time"],
  [["c"], "causal cone: off, causes, past"], [["o"], "only what matches"], [["r"], "hide or show heartbeats and pings"], [["x"], "clear all filters"],
  [["t"], "rows or time"], [["+", "-"], "zoom"], [["f"], "hide or show the filters"], [["d"], "light or dark"], [["/"], "find"], [["Esc"], "leave, deselect"], [["?"], "this help"],
];
const LEGEND = [["send", "sent, asked, answered"], ["receive", "arrived, heard"], ["write", "written, not yet durable"], ["durable", "durable"], ["note", "something a node notes"], ["boot", "a process starts"], ["end", "an end: of a process, a connection"], ["fault", "a fault, a violation"]];

class App {
  constructor(data) {
    this.runs = data.runs.map((run) => new Run(run, data.kinds));
    this.pairs = data.pairs ?? [];
    this.divergence = data.divergence ?? null;
    this.filter = new Filter();
    // Some eight pixels for each event, were they all as far apart.
    const pace = Math.max(...this.runs.map((run) => (8 * run.n) / Math.max(run.endedAt, 1)));
    this.scale = { mode: "rows", zoom: ZOOM_START, pixelsPerNs: pace };
    this.selected = { r: this.runs.findIndex((run) => run.violation), i: -1 };
    if (this.selected.r < 0) this.selected.r = 0;
    this.hover = { r: 0, i: -1 };
    this.cone = { mode: "off", r: -1, i: -1 };
    this.query = "";
    this.hits = this.runs.map(() => null);
    this.left = 0;
    this.top = 0;
    this.frames = 0;
    this.readPairs();
  }

  readPairs() {
    if (this.runs.length < 2) return;
    this.unmatched = this.runs.map((run) => new Uint8Array(run.n).fill(1));
    this.partner = this.runs.map((run) => new Int32Array(run.n).fill(-1));
    for (let p = 0; p < this.pairs.length; p += 2) {
      const [a, b] = [this.pairs[p] - 1, this.pairs[p + 1] - 1];
      this.unmatched[0][a] = this.unmatched[1][b] = 0;
      this.partner[0][a] = b;
      this.partner[1][b] = a;
    }
  }

  start() {
    const get = (id) => document.getElementById(id);
    this.parts = Object.fromEntries(["query", "hits", "only", "scroller", "spacer", "panes", "empty", "tip", "count", "where", "sheet", "minimap", "stage"].map((id) => [id, get(id)]));
    get("name").textContent = this.runs.map((run) => run.name).join("  \u00b7  ");
    const broken = this.runs.find((run) => run.violation);
    get("verdict").textContent = broken ? `${broken.violation.property} is broken` : "every property held";
    get("verdict").className = `pill ${broken ? "bad" : "good"}`;
    this.diagrams = this.runs.map((run, r) => new Diagram(run, r));
    this.parts.panes.replaceChildren(...this.diagrams.map((diagram) => diagram.canvas));
    this.minimap = new Minimap(this.parts.minimap);
    this.palette = new Palette();
    this.sidebar = new Sidebar(get("filters"), this, () => this.relayout());
    this.panel = new Panel(get("panel"), this);
    if (this.runs.length > 1) document.querySelector("main").classList.add("narrow");
    this.bind(get);
    this.readHash();
    this.resize();
    this.relayout();
    if (this.selected.i < 0) {
      const begin = this.divergence ? this.partOf(0) : this.runs[this.selected.r].violationEvent;
      if (begin >= 0) this.select(this.divergence ? 0 : this.selected.r, begin, true);
      else this.panel.show(0, -1);
    } else {
      this.select(this.selected.r, this.selected.i, true);
    }
    this.parts.scroller.focus({ preventScroll: true });
  }

  /** The event of a run at which two runs part; the last before it when there it has none. */
  partOf(r) {
    if (!this.divergence) return -1;
    const id = r === 0 ? this.divergence.first : this.divergence.second;
    return id ? id - 1 : this.runs[r].n - 1;
  }

  bind(get) {
    const { parts } = this;
    parts.scroller.addEventListener("scroll", () => this.scrolled());
    parts.scroller.addEventListener("mousemove", (event) => this.pointed(event));
    parts.scroller.addEventListener("mouseleave", () => this.point(0, -1));
    parts.scroller.addEventListener("click", (event) => {
      const { r, i } = this.under(event);
      if (i >= 0) this.select(r, i, false);
      parts.scroller.focus({ preventScroll: true });
    });
    parts.scroller.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    const drag = (event) => {
      if (event.type === "pointermove" && event.buttons === 0) return;
      if (event.type === "pointerdown") parts.minimap.setPointerCapture(event.pointerId);
      const share = event.offsetY / this.minimap.height;
      this.scrollTo(share * this.layout.height - this.viewHeight / 2);
    };
    parts.minimap.addEventListener("pointerdown", drag);
    parts.minimap.addEventListener("pointermove", drag);
    parts.query.addEventListener("input", () => this.find(parts.query.value));
    parts.only.addEventListener("change", () => { this.filter.only = parts.only.checked; this.relayout(); });
    get("next").addEventListener("click", () => this.stepMatch(1));
    get("previous").addEventListener("click", () => this.stepMatch(-1));
    get("in").addEventListener("click", () => this.zoom(1));
    get("out").addEventListener("click", () => this.zoom(-1));
    get("theme").addEventListener("click", () => this.toggleTheme());
    get("help").addEventListener("click", () => this.help());
    for (const button of document.querySelectorAll("[data-cone]")) button.addEventListener("click", () => this.setCone(button.dataset.cone));
    for (const button of document.querySelectorAll("[data-scale]")) button.addEventListener("click", () => this.setScale(button.dataset.scale));
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => { this.resize(); this.relayout(); });
    window.addEventListener("hashchange", () => { this.readHash(); this.relayout(); if (this.selected.i >= 0) this.select(this.selected.r, this.selected.i, true); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { applyTheme(); this.repaint(); });
  }

  // What is shown

  resize() {
    const { stage } = this.parts;
    const wide = stage.clientWidth, high = stage.clientHeight;
    const each = Math.floor((wide - 2 * (this.runs.length - 1)) / this.runs.length);
    this.paneWidth = each;
    this.needs = Math.max(...this.diagrams.map((diagram) => diagram.resize(each, high, this.filter.hiddenLanes)));
    this.viewHeight = high - HEADER;
    this.minimap.resize();
  }

  /** What is visible has changed: everything is placed anew, and what was in view stays in view. */
  relayout() {
    const anchor = this.anchor();
    const cones = this.coneMarks();
    const passes = this.runs.map((run, r) => this.filter.apply(run, cones[r], this.hits[r]));
    this.layout = new Layout(this.runs, passes, this.pairs, this.scale);
    this.resizeLanes();
    this.place(anchor);
    this.sidebar.show();
    this.parts.only.checked = this.filter.only;
    const shown = this.layout.visible.reduce((sum, list) => sum + list.length, 0);
    const all = this.runs.reduce((sum, run) => sum + run.n, 0);
    this.parts.count.textContent = shown === all ? `${all.toLocaleString("en")} events` : `${shown.toLocaleString("en")} of ${all.toLocaleString("en")} events`;
    this.showEmpty(shown);
    this.countHits();
    for (const button of document.querySelectorAll("[data-cone]")) button.setAttribute("aria-pressed", String(button.dataset.cone === this.cone.mode));
    for (const button of document.querySelectorAll("[data-scale]")) button.setAttribute("aria-pressed", String(button.dataset.scale === this.scale.mode));
    this.writeHash();
    this.repaint();
  }

  resizeLanes() {
    const high = this.parts.stage.clientHeight;
    this.needs = Math.max(...this.diagrams.map((diagram) => diagram.resize(this.paneWidth, high, this.filter.hiddenLanes)));
  }

  showEmpty(shown) {
    const { empty } = this.parts;
    empty.hidden = shown > 0;
    if (shown > 0) return;
    const why = this.cone.mode !== "off" && !this.filter.isActive ? "The cone is empty." : "No event passes these filters.";
    empty.replaceChildren(el("b", {}, why), el("span", {}, "What you look for may be hidden by a lane, a kind, or the cone."), el("button", { onclick: () => this.clearFilters() }, "Clear all filters"));
  }

  /** The event to keep in view, and where on the screen it is. */
  anchor() {
    if (!this.layout) return null;
    const { r, i } = this.selected;
    if (i >= 0) {
      const y = this.layout.yOfEvent(r, i) - this.top;
      if (y > 0 && y < this.viewHeight) return { r, i, y };
      return { r, i, y: this.viewHeight / 2, far: true, top: this.middle() };
    }
    return this.middle();
  }

  middle() {
    const k = this.layout.kAt(0, this.top + this.viewHeight / 2);
    const i = this.layout.visible[0][Math.min(k, this.layout.visible[0].length - 1)] ?? 0;
    return { r: 0, i, y: this.layout.yOfEvent(0, i) - this.top };
  }

  place(anchor) {
    this.full = this.layout.height;
    this.spacerHeight = Math.min(this.full + HEADER, SCROLL_MAX);
    this.parts.spacer.style.height = `${this.spacerHeight}px`;
    this.parts.spacer.style.width = this.needs > this.paneWidth + 1 ? `${this.parts.stage.clientWidth + this.needs - this.paneWidth}px` : "100%";
    if (anchor?.far) anchor = anchor.top;
    if (anchor) this.scrollTo(this.layout.yOfEvent(anchor.r, anchor.i) - anchor.y);
    else this.scrolled();
  }

  /** Scrolling is in pixels of the content, which may be more than a browser can scroll. */
  get scrollFactor() {
    const room = this.spacerHeight - HEADER - this.viewHeight;
    return room > 0 ? Math.max(1, (this.full - this.viewHeight) / room) : 1;
  }

  scrollTo(top) {
    this.parts.scroller.scrollTop = Math.max(0, top) / this.scrollFactor;
    this.scrolled();
  }

  scrolled() {
    this.top = Math.min(this.parts.scroller.scrollTop * this.scrollFactor, Math.max(0, this.full - this.viewHeight));
    this.left = this.parts.scroller.scrollLeft;
    this.invalidate();
  }

  repaint() {
    this.palette = new Palette();
    this.minimap.prepare(this.layout, this.palette, this.runs.map((_, r) => this.viewOf(r)));
    this.invalidate();
  }

  invalidate() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.drawAll();
    });
  }

  viewOf(r) {
    const own = (what) => {
      if (what.i < 0) return -1;
      if (what.r === r) return what.i;
      return this.partner ? this.partner[what.r][what.i] : -1;
    };
    return {
      top: this.top, left: this.left, selected: own(this.selected), hover: own(this.hover), lit: this.lit(r), hits: this.hits[r], dim: null,
      unmatched: this.unmatched?.[r] ?? null, parts: this.partOf(r), title: this.runs.length > 1 ? this.runs[r].name : "",
    };
  }

  /** The selected event, the one pointed at, what made them happen and what they lead to. */
  lit(r) {
    const lit = new Set();
    for (const what of [this.selected, this.hover]) {
      if (what.i < 0 || what.r !== r) continue;
      const run = this.runs[r];
      lit.add(what.i);
      for (const cause of run.causesOf(what.i)) lit.add(cause);
      for (const effect of run.effectsOf(what.i).slice(0, 64)) lit.add(effect);
    }
    return lit;
  }

  drawAll() {
    this.frames++;
    this.diagrams.forEach((diagram, r) => diagram.draw(this.layout, this.viewOf(r), this.palette));
    const { r, i } = this.selected;
    this.minimap.draw(this.palette, this.top, this.top + this.viewHeight, i >= 0 ? this.layout.yOfEvent(r, i) : -1);
    const k = this.layout.kAt(0, this.top);
    const at = this.layout.visible[0][k];
    this.parts.where.textContent = at === undefined ? "" : `from ${timeWords(this.runs[0].at[at])} of ${timeWords(this.runs[0].endedAt, 0)}`;
  }

  // Selecting

  select(r, i, centre) {
    this.selected = { r, i };
    if (i >= 0) this.reveal(r, i, centre);
    this.panel.show(r, i);
    this.panel.element.scrollTop = 0;
    this.writeHash();
    this.invalidate();
  }

  reveal(r, i, centre) {
    if (!this.layout.passes[r][i]) return;
    const y = this.layout.yOfEvent(r, i) - this.top;
    if (centre && (y < 60 || y > this.viewHeight - 60)) this.scrollTo(y + this.top - this.viewHeight / 2);
    else if (y < 30) this.scrollTo(y + this.top - 60);
    else if (y > this.viewHeight - 30) this.scrollTo(y + this.top - this.viewHeight + 60);
  }

  /** The next visible event in a direction for which the test holds. */
  seek(direction, test) {
    const r = this.selected.r, list = this.layout.visible[r];
    let k = this.selected.i < 0 ? (direction > 0 ? this.layout.kAt(r, this.top) - 1 : list.length) : this.layout.near[r][this.selected.i];
    // A selected event that is hidden now stands before the next visible one.
    if (this.selected.i >= 0 && !this.layout.passes[r][this.selected.i] && direction > 0) k--;
    for (k += direction; k >= 0 && k < list.length; k += direction) if (test(list[k])) return this.select(r, list[k], false);
  }

  stepMatch(direction) {
    const run = this.runs[this.selected.r], hits = this.hits[this.selected.r];
    this.seek(direction, hits ? (i) => hits[i] : (i) => ["fault", "violation", "end", "boot", "healed", "halt"].includes(run.kindOf(i)));
    this.countHits();
  }

  stepLane(direction) {
    const run = this.runs[this.selected.r];
    if (this.selected.i < 0) return;
    const lane = run.lane[this.selected.i];
    this.seek(direction, (i) => run.lane[i] === lane);
  }

  stepCause(forth) {
    const { r, i } = this.selected;
    if (i < 0) return;
    const to = forth ? this.runs[r].effectsOf(i)[0] : this.runs[r].causesOf(i)[0];
    if (to !== undefined) this.select(r, to, false);
  }

  /** The canvas's event under the pointer. */
  under(event) {
    const box = this.parts.stage.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const r = Math.min(this.runs.length - 1, Math.floor(x / (this.paneWidth + 2)));
    const own = x - r * (this.paneWidth + 2);
    return { r, i: this.diagrams[r].eventAt(own, y), x, y };
  }

  pointed(event) {
    const { r, i, x, y } = this.under(event);
    this.point(r, i, x, y);
  }

  point(r, i, x = 0, y = 0) {
    const { tip, stage } = this.parts;
    if (i !== this.hover.i || r !== this.hover.r) {
      this.hover = { r, i };
      this.invalidate();
      tip.hidden = i < 0;
      if (i >= 0) {
        const run = this.runs[r], fate = run.fateOf(i);
        const lane = run.laneOf(i);
        const state = lane.kind === "node" ? run.stateAfter(lane.node, i) : null;
        const sort = `#${run.id(i)} \u00b7 ${lane.name} \u00b7 ${run.kindOf(i)} \u00b7 ${timeWords(run.at[i], 6)}`;
        const figures = state && state[0] ? `${roleWords(state)} in e${state[2]}, log to ${zxidWords(state[3])}, committed ${zxidWords(state[4])}` : "";
        tip.replaceChildren(el("div", { class: "words" }, run.words(i).slice(0, 400)), el("div", { class: "meta" }, sort), figures ? el("div", { class: "meta" }, figures) : "", fate ? el("div", { class: "meta", style: "color:var(--bad)" }, fate) : "");
      }
    }
    if (i < 0) return;
    tip.style.left = `${Math.min(x + 18, Math.max(8, stage.clientWidth - tip.offsetWidth - 12))}px`;
    const below = y + 20 + tip.offsetHeight < stage.clientHeight;
    tip.style.top = `${below ? y + 18 : y - tip.offsetHeight - 14}px`;
  }

  // Filters, search, cone

  clearFilters() {
    this.filter.clear();
    this.cone.mode = "off";
    this.relayout();
  }

  find(query) {
    this.query = query;
    if (this.parts.query.value !== query) this.parts.query.value = query;
    this.hits = this.runs.map((run) => (/^#\d+$/.test(query.trim()) ? null : findIn(run, query)));
    this.relayout();
  }

  countHits() {
    const hits = this.hits[this.selected.r];
    if (!hits) { this.parts.hits.textContent = ""; return; }
    const list = this.layout.visible[this.selected.r];
    let count = 0, place = 0;
    for (const i of list) {
      if (!hits[i]) continue;
      count++;
      if (i <= this.selected.i) place = count;
    }
    this.parts.hits.textContent = count === 0 ? "none" : `${place}/${count.toLocaleString("en")}`;
  }

  /** The cone's marks for each run: of the event chosen, else the violation, else what is selected. */
  coneMarks() {
    if (this.cone.mode === "off") return this.runs.map(() => null);
    let { r, i } = this.cone;
    if (i < 0) {
      r = this.runs.findIndex((run) => run.violation);
      i = r >= 0 ? this.runs[r].violationEvent : -1;
    }
    if (i < 0) ({ r, i } = this.selected);
    if (i < 0) return this.runs.map(() => null);
    return this.runs.map((run, other) => {
      const root = other === r ? i : this.partner?.[r][i] ?? -1;
      return root < 0 ? null : coneOf(run, root, this.cone.mode === "past");
    });
  }

  setCone(mode) {
    this.cone.mode = mode;
    if (mode === "off") this.cone.i = -1;
    this.relayout();
  }

  coneOf(r, i) {
    this.cone = { mode: "causes", r, i };
    this.relayout();
  }

  setScale(mode) {
    const anchor = this.anchor();
    this.scale.mode = mode;
    if (mode === "time") this.scale.pixelsPerNs = Math.max(this.scale.pixelsPerNs, this.viewHeight / this.layout.end / 4);
    this.relayout();
    this.place(anchor?.far ? anchor.top : anchor);
    if (this.selected.i >= 0) this.reveal(this.selected.r, this.selected.i, true);
  }

  zoom(direction) {
    const anchor = this.anchor();
    if (this.scale.mode === "rows") this.scale.zoom = Math.max(0, Math.min(ROW_HEIGHTS.length - 1, this.scale.zoom + direction));
    else this.scale.pixelsPerNs = Math.max(this.viewHeight / this.layout.end / 8, Math.min(1, this.scale.pixelsPerNs * 1.6 ** direction));
    this.place(anchor);
    this.repaint();
  }

  // Links

  hashOf(r, i) {
    const parts = [`e=${this.runs[r].id(i)}`];
    if (r > 0) parts.push(`r=${r + 1}`);
    return `#${parts.join("&")}`;
  }

  writeHash() {
    const parts = [];
    if (this.selected.i >= 0) parts.push(this.hashOf(this.selected.r, this.selected.i).slice(1));
    if (this.cone.mode !== "off") parts.push(`cone=${this.cone.mode}`);
    if (this.query) parts.push(`q=${encodeURIComponent(this.query)}`);
    const hash = parts.length ? `#${parts.join("&")}` : " ";
    if (hash !== location.hash) history.replaceState(null, "", hash === " " ? location.pathname + location.search : hash);
  }

  readHash() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const r = Math.max(0, Math.min(this.runs.length - 1, Number(wanted.get("r") ?? 1) - 1));
    const id = Number(wanted.get("e"));
    if (Number.isInteger(id) && id >= 1 && id <= this.runs[r].n) this.selected = { r, i: id - 1 };
    if (["off", "causes", "past"].includes(wanted.get("cone"))) this.cone.mode = wanted.get("cone");
    if (wanted.has("q") && wanted.get("q") !== this.query) {
      this.query = this.parts.query.value = wanted.get("q");
      this.hits = this.runs.map((run) => findIn(run, this.query));
    }
  }

  /** Goes to an event (`1042` or `#1042`), a zxid (`5:91`) or a time (`340 ms`). Whether there is such a place. */
  goTo(text) {
    const r = this.selected.r, run = this.runs[r], word = text.trim();
    let i = -1;
    if (/^#?\d+$/.test(word)) i = Number(word.replace("#", "")) - 1;
    else if (/^[\d.]+ ?ms$/.test(word)) i = Math.min(run.n - 1, run.eventAt(parseFloat(word) * 1e6));
    else {
      const range = zxidRange(word);
      if (range) i = run.zxids.findIndex((zxids) => inRange(zxids, range));
    }
    if (!(i >= 0 && i < run.n)) return false;
    if (!this.layout.passes[r][i]) this.clearFilters();
    this.select(r, i, true);
    return true;
  }

  // Keys and sheets

  key(event) {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key === "Escape") {
      if (this.parts.sheet.open) return;
      if (typing) { event.target.blur(); this.parts.scroller.focus({ preventScroll: true }); } else this.select(this.selected.r, -1, false);
      return;
    }
    if (event.target === this.parts.query && event.key === "Enter") {
      const id = /^#(\d+)$/.exec(this.parts.query.value.trim());
      if (id) this.goTo(id[1]); else this.stepMatch(event.shiftKey ? -1 : 1);
      event.preventDefault();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || this.parts.sheet.open) return;
    const cones = ["off", "causes", "past"];
    const actions = {
      j: () => this.seek(1, () => true), k: () => this.seek(-1, () => true), ArrowDown: () => this.seek(1, () => true), ArrowUp: () => this.seek(-1, () => true),
      J: () => this.stepLane(1), K: () => this.stepLane(-1), n: () => this.stepMatch(1), p: () => this.stepMatch(-1), N: () => this.stepMatch(-1),
      "[": () => this.stepCause(false), "]": () => this.stepCause(true),
      v: () => { const r = this.runs.findIndex((run) => run.violation); if (r >= 0) this.select(r, this.runs[r].violationEvent, true); },
      g: () => this.askWhere(), c: () => this.setCone(cones[(cones.indexOf(this.cone.mode) + 1) % 3]),
      o: () => { this.filter.only = !this.filter.only; this.relayout(); }, r: () => { this.filter.routine = !this.filter.routine; this.relayout(); },
      x: () => this.clearFilters(), t: () => this.setScale(this.scale.mode === "rows" ? "time" : "rows"),
      "+": () => this.zoom(1), "=": () => this.zoom(1), "-": () => this.zoom(-1), d: () => this.toggleTheme(), "?": () => this.help(),
      f: () => { document.querySelector("main").classList.toggle("narrow"); this.resize(); this.relayout(); },
      "/": () => { this.parts.query.focus(); this.parts.query.select(); },
      Home: () => this.scrollTo(0), End: () => this.scrollTo(this.full),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  toggleTheme() {
    const dark = document.documentElement.dataset.theme === "dark";
    try { localStorage.setItem("vivarium-theme", dark ? "light" : "dark"); } catch { /* a file's page may have no storage */ }
    applyTheme(dark ? "light" : "dark");
    this.repaint();
  }

  sheet(...content) {
    const { sheet } = this.parts;
    sheet.replaceChildren(...content);
    sheet.showModal();
    sheet.onclick = (event) => { if (event.target === sheet) sheet.close(); };
    sheet.onclose = () => this.parts.scroller.focus({ preventScroll: true });
  }

  askWhere() {
    const input = el("input", { type: "text", id: "goto", placeholder: "1042, 5:91 or 340 ms", "aria-label": "Where to" });
    const form = el("form", { onsubmit: (event) => {
      event.preventDefault();
      if (this.goTo(input.value)) this.parts.sheet.close(); else input.setAttribute("aria-invalid", "true");
    } }, el("h3", {}, "Go to an event, a zxid or a time"), input);
    this.sheet(form);
    input.focus();
  }

  help() {
    const half = Math.ceil(KEYS.length / 2);
    const list = (keys) => el("dl", {}, ...keys.flatMap(([names, what]) => [el("dt", {}, ...names.map((name) => el("kbd", {}, name))), el("dd", {}, what)]));
    const swatch = (paint) => {
      const canvas = el("canvas", { width: 56, height: 32, style: "width:28px;height:16px" });
      const pen = canvas.getContext("2d");
      pen.scale(2, 2);
      paint(pen);
      return el("dt", {}, canvas);
    };
    const colours = FAMILIES.slice(1).map((family) => [family, this.palette.families[FAMILIES.indexOf(family)]]);
    const glyph = (kind) => swatch((pen) => { pen.fillStyle = pen.strokeStyle = this.palette.ink; pen.lineWidth = 1.4; drawGlyph(pen, kind, 14, 8, 4, this.palette); });
    const stripe = (colour) => swatch((pen) => { pen.strokeStyle = colour; pen.lineWidth = 2.5; line(pen, 2, 4, 26, 12); });
    const band = (role) => swatch((pen) => { pen.save(); pen.translate(14, 8); pen.rotate(Math.PI / 2); Diagram.prototype.drawRole.call({ context: pen }, 0, -13, 13, [role], this.palette.epoch(1)); pen.restore(); });
    const hatch = (colour, spacing) => swatch((pen) => { pen.fillStyle = this.palette.hatching(pen, colour, spacing); pen.fillRect(0, 0, 28, 16); });
    const lost = swatch((pen) => { pen.strokeStyle = this.palette.bad; pen.lineWidth = 1.4; line(pen, 2, 4, 18, 9); line(pen, 14, 5, 22, 13); line(pen, 14, 13, 22, 5); });
    const twice = swatch((pen) => { pen.strokeStyle = this.palette.families[2]; pen.setLineDash([4, 3]); line(pen, 2, 4, 26, 12); });
    this.sheet(
      el("h3", {}, "Keys"), el("div", { class: "columns" }, list(KEYS.slice(0, half)), list(KEYS.slice(half))),
      el("h3", { style: "margin-top:18px" }, "Legend"),
      el("div", { class: "columns" },
        el("dl", {}, ...LEGEND.flatMap(([kind, what]) => [glyph(kind), el("dd", {}, what)]), lost, el("dd", {}, "a message that was lost"), twice, el("dd", {}, "a message that arrives again")),
        el("dl", {}, ...colours.flatMap(([family, colour]) => [stripe(colour), el("dd", {}, family)]),
          band(5), el("dd", {}, "leads"), band(3), el("dd", {}, "follows, in sync"), band(2), el("dd", {}, "joins"), band(1), el("dd", {}, "looks for a leader"),
          hatch(this.palette.hatch, 7), el("dd", {}, "no process runs"), hatch(this.palette.cut, 6), el("dd", {}, "messages do not get through"))),
      el("p", { class: "meta" }, "The colour behind a node's lane is its epoch. A dashed line across is where all faults end."));
  }

  /** Figures for tests and for the curious. */
  get figures() {
    return {
      events: this.runs.map((run) => run.n), shown: this.layout.visible.map((list) => list.length), drawn: this.diagrams.map((diagram) => diagram.drawn),
      selected: this.selected.i < 0 ? null : this.runs[this.selected.r].id(this.selected.i), run: this.selected.r, frames: this.frames, top: this.top,
      rowHeight: this.layout.rowHeight, height: this.full,
    };
  }
}

/** Follows the system until somebody chooses. */
function applyTheme(chosen) {
  let theme = chosen;
  try { theme ??= localStorage.getItem("vivarium-theme"); } catch { /* a file's page may have no storage */ }
  theme ??= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
}

applyTheme();
const loading = document.getElementById("loading");
unpack(document.getElementById("data").textContent.trim())
  .then((data) => {
    const app = new App(data);
    window.vivarium = app;
    app.start();
    loading.remove();
  })
  .catch((error) => {
    loading.textContent = `The run cannot be shown: ${error.message}\nA browser of 2023 or later is needed.`;
    throw error;
  });
