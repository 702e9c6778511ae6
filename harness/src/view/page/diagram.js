// The space-time diagram of one run: time runs down, a lane for each client, node and disk.
//
// Only what is on the screen is drawn. Where more events than pixels are on the screen, those that would cover each other
// are drawn once, and arrows are thinned out: the effort of a frame is bounded whatever the length of the run.

const HEADER = 40;
const GUTTER = 122;
const LANE_WEIGHT = { world: 0.5, client: 0.7, node: 2.2, disk: 0.62 };
const LANE_LEAST = { world: 32, client: 18, node: 66, disk: 18 };
const ARROWS_MOST = 1500;
const GLYPHS_MOST = 4000;

class Diagram {
  constructor(run, place) {
    this.run = run;
    this.place = place;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d");
    this.drawn = 0;
    this.laneX = [];
  }

  /** Makes room. Gives the width that the lanes need, which may be more than there is. */
  resize(width, height, hidden) {
    const ratio = window.devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const shown = this.run.lanes.map((lane) => !hidden.has(lane.name));
    const weight = this.run.lanes.reduce((sum, lane, place) => sum + (shown[place] ? LANE_WEIGHT[lane.kind] : 0), 0);
    const room = width - GUTTER - 16;
    let x = GUTTER;
    this.laneX = [];
    this.laneWidth = [];
    this.run.lanes.forEach((lane, place) => {
      const wide = shown[place] ? Math.max(LANE_LEAST[lane.kind], (room * LANE_WEIGHT[lane.kind]) / weight) : 0;
      this.laneX.push(shown[place] ? x + wide / 2 : -1);
      this.laneWidth.push(wide);
      x += wide;
    });
    this.nodeX = this.run.nodeLanes.map((lane) => this.laneX[lane.place]);
    return x + 16;
  }

  /** Draws what is on the screen. */
  draw(layout, view, palette) {
    const pen = this.context;
    this.layout = layout;
    this.view = view;
    this.palette = palette;
    this.drawn = 0;
    pen.clearRect(0, 0, this.width, this.height);
    pen.fillStyle = palette.paper;
    pen.fillRect(0, 0, this.width, this.height);
    const bottom = view.top + this.height - HEADER;
    this.first = Math.max(0, layout.kAt(this.place, view.top - 30) - 1);
    this.last = Math.min(layout.visible[this.place].length - 1, layout.kAt(this.place, bottom + 30));
    pen.save();
    pen.beginPath();
    pen.rect(0, HEADER, this.width, this.height - HEADER);
    pen.clip();
    this.drawRows();
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER - 6, HEADER, this.width, this.height - HEADER);
    pen.clip();
    this.drawLanes();
    this.drawSpans();
    this.drawArrows();
    this.drawEvents();
    pen.restore();
    this.drawGutter();
    this.drawMarks();
    pen.restore();
    this.drawHeader();
  }

  y(k) { return HEADER + this.layout.yOf(this.place, k) - this.view.top; }
  yEvent(i) { return HEADER + this.layout.yOfEvent(this.place, i) - this.view.top; }
  x(lane) { return this.laneX[lane] < 0 ? -1 : this.laneX[lane] - this.view.left; }
  get rowHeight() { return this.layout.scale.mode === "rows" ? this.layout.rowHeight : 16; }

  drawRows() {
    const { context: pen, view, palette, layout } = this;
    const half = Math.max(this.rowHeight, 8) / 2;
    const wide = (i, colour) => {
      if (!layout.passes[this.place][i]) return;
      pen.fillStyle = colour;
      pen.fillRect(0, this.yEvent(i) - half, this.width, 2 * half);
    };
    if (view.unmatched && this.rowHeight >= 6 && layout.scale.mode === "rows") {
      const list = layout.visible[this.place];
      for (let k = this.first; k <= this.last && this.last - this.first < GLYPHS_MOST; k++) {
        if (view.unmatched[list[k]]) wide(list[k], palette.shade);
      }
    }
    if (view.hover >= 0 && view.hover !== view.selected) wide(view.hover, palette.shade);
    if (this.run.violationEvent >= 0) wide(this.run.violationEvent, palette.bad_soft);
    if (view.selected >= 0) wide(view.selected, palette.select);
  }

  /** The lanes' lines, and for nodes the bands of role and epoch. */
  drawLanes() {
    const { context: pen, palette, run } = this;
    run.lanes.forEach((lane, place) => {
      const x = this.x(place);
      if (x < 0) return;
      if (lane.kind === "node") return this.drawNode(lane, place);
      pen.strokeStyle = palette.line;
      pen.lineWidth = 1;
      pen.setLineDash(lane.kind === "disk" ? [2, 3] : []);
      line(pen, x, HEADER, x, this.height);
      pen.setLineDash([]);
      this.drawn++;
    });
  }

  drawNode(lane, place) {
    const { context: pen, palette, run, layout } = this;
    const x = this.x(place), wide = this.laneWidth[place] - 8;
    const { events, states } = run.changes[lane.node];
    const top = layout.visible[this.place][this.first] ?? 0;
    let labelled = -Infinity, lastLabel = "";
    // From the state that holds at the top of the screen; equal neighbours are one band.
    let change = Math.max(0, upperBound(events, top) - 1);
    let bands = 0;
    while (change < events.length && bands < 600) {
      const state = states[change];
      const from = Math.max(HEADER, this.yEvent(events[change]));
      let next = change + 1;
      while (next < events.length && states[next][0] === state[0] && states[next][1] === state[1] && states[next][2] === state[2]) next++;
      const until = next < events.length ? this.yEvent(events[next]) : HEADER + layout.height - this.view.top;
      if (until > HEADER && state[0] > 0) {
        const to = Math.min(until, this.height);
        const colour = palette.epoch(state[2]);
        pen.globalAlpha = state[0] >= 4 ? 0.2 : 0.11;
        pen.fillStyle = colour;
        pen.fillRect(x - wide / 2, from, wide, to - from);
        pen.globalAlpha = 1;
        this.drawRole(x, from, to, state, colour);
        const label = `${roleWords(state)} e${state[2]}`;
        if (to - from >= 16 && from - labelled >= 14 && from > HEADER + 2 && label !== lastLabel && wide >= 100) {
          pen.font = `10.5px ${palette.sans}`;
          pen.textAlign = "left";
          pen.textBaseline = "top";
          pen.fillStyle = palette.soft;
          pen.fillText(label, x - wide / 2 + 5, from + 3);
          labelled = from;
          lastLabel = label;
        }
        this.drawn += 2;
      }
      bands++;
      if (until > this.height) break;
      change = next;
    }
  }

  /** The band's middle: wide for a leader, narrow for a follower, dashed while neither is settled. */
  drawRole(x, from, to, state, colour) {
    const pen = this.context;
    pen.fillStyle = pen.strokeStyle = colour;
    switch (state[0]) {
      case 5: pen.fillRect(x - 4, from, 8, to - from); break;
      case 4: pen.lineWidth = 1.5; pen.strokeRect(x - 3.5, from, 7, to - from); break;
      case 3: pen.fillRect(x - 1.5, from, 3, to - from); break;
      default:
        pen.lineWidth = state[0] === 2 ? 3 : 1.5;
        pen.setLineDash(state[0] === 2 ? [5, 3] : [2, 4]);
        line(pen, x, from, x, to);
        pen.setLineDash([]);
    }
  }

  drawSpans() {
    const { context: pen, palette, run, layout } = this;
    for (const span of run.spans) {
      const begins = run.at[span.event - 1] === span.from;
      const from = begins && layout.scale.mode === "rows" ? this.yEvent(span.event - 1) : HEADER + layout.yOfTime(this.place, span.from) - this.view.top;
      const until = HEADER + layout.yOfTime(this.place, span.until) - this.view.top;
      if (until < HEADER || from > this.height) continue;
      const [top, end] = [Math.max(from, HEADER), Math.min(Math.max(until, from + 2), this.height)];
      if (span.links.length > 0) this.drawCut(span, top, end, from);
      for (const node of span.nodes) {
        const lanes = run.lanes.map((lane, place) => [lane, place]).filter(([lane]) => lane.node === node);
        for (const [lane, place] of lanes) {
          const x = this.x(place);
          const onDisk = span.kind === "slow-disk";
          if (x < 0 || (onDisk ? lane.kind !== "disk" : lane.kind !== "node")) continue;
          const wide = this.laneWidth[place] - 8;
          pen.fillStyle = span.kind === "down"
            ? palette.hatching(pen, palette.hatch, 7)
            : palette.hatching(pen, onDisk ? palette.families[5] : palette.families[1], 9, true);
          pen.globalAlpha = span.kind === "down" ? 1 : 0.35;
          pen.fillRect(x - wide / 2, top, wide, end - top);
          pen.globalAlpha = 1;
          this.tag(span.kind === "down" ? "down" : span.kind === "paused" ? "paused" : "slow disk", x - wide / 2 + 5, top, end, from);
          this.drawn++;
        }
      }
    }
    const heals = HEADER + layout.yOfTime(this.place, run.healsAt) - this.view.top;
    if (heals > HEADER && heals < this.height && run.endedAt >= run.healsAt) {
      pen.strokeStyle = palette.soft;
      pen.setLineDash([6, 4]);
      line(pen, GUTTER, heals, this.width, heals);
      pen.setLineDash([]);
      this.drawn++;
    }
  }

  /** Cut and slow links are hatched in the space between the lanes that they join. */
  drawCut(span, top, end, from) {
    const { context: pen, palette, run } = this;
    const isCut = span.kind === "cut";
    pen.fillStyle = isCut ? palette.hatching(pen, palette.cut, 6) : palette.hatching(pen, palette.hatch, 12);
    const nodes = run.nodeLanes.length;
    let first = Infinity;
    for (let gap = 0; gap + 1 < nodes; gap++) {
      const crosses = span.links.some(([a, b]) => Math.min(a, b) <= gap && Math.max(a, b) > gap);
      const [left, right] = [this.nodeX[gap], this.nodeX[gap + 1]];
      if (!crosses || left < 0 || right < 0) continue;
      const x = left - this.view.left + 14, wide = right - left - 28;
      first = Math.min(first, x);
      pen.fillRect(x, top, wide, end - top);
      pen.strokeStyle = palette.cut;
      pen.lineWidth = 1;
      line(pen, x, top, x + wide, top);
      line(pen, x, end, x + wide, end);
      this.drawn++;
    }
    if (first < Infinity) this.tag(`${isCut ? "cut" : "slow"} ${cutWords(span.links)}`, first + 4, top, end, from);
  }

  tag(text, x, top, end, from) {
    if (end - top < 15 || from < HEADER - 1) return;
    const pen = this.context;
    pen.font = `600 10.5px ${this.palette.sans}`;
    pen.textAlign = "left";
    pen.textBaseline = "top";
    const wide = pen.measureText(text).width;
    pen.fillStyle = this.palette.paper;
    pen.globalAlpha = 0.85;
    pen.fillRect(x - 2, top + 2, wide + 4, 13);
    pen.globalAlpha = 1;
    pen.fillStyle = this.palette.families[7];
    pen.fillText(text, x, top + 3);
  }

  drawArrows() {
    const { context: pen, run, layout, view } = this;
    if (this.last < this.first) return;
    const crossing = [];
    layout.arrows[this.place].crossing(this.first, this.last, (arrow) => crossing.push(arrow));
    // Too many to tell apart: every n-th. Those of the selected event are never left out.
    const keep = Math.ceil(crossing.length / ARROWS_MOST);
    this.thinned = keep > 1;
    crossing.forEach((arrow, place) => {
      const i = run.arrowFrom[arrow], j = run.arrowTo[arrow];
      const strong = view.lit.has(i) && view.lit.has(j);
      if (place % keep !== 0 && !strong) return;
      const x1 = this.x(run.lane[i]), x2 = this.x(run.lane[j]);
      if (x1 < 0 || x2 < 0) return;
      this.arrow(x1, this.yEvent(i), x2, this.yEvent(j), run.family[j] === 0 ? run.family[i] : run.family[j], run.arrowAgain[arrow], strong, this.isDim(i) || this.isDim(j));
    });
    const list = layout.visible[this.place];
    if (this.last - this.first > GLYPHS_MOST) return;
    for (let k = this.first; k <= this.last; k++) {
      const i = list[k];
      if (!run.isUnheard(i) || run.other[i] < 0) continue;
      this.unheard(i);
    }
  }

  isDim(i) { return this.view.dim !== null && !this.view.dim[i]; }

  arrow(x1, y1, x2, y2, family, dashed, strong, dim) {
    const pen = this.context;
    const away = Math.sign(x2 - x1) * 5;
    pen.strokeStyle = pen.fillStyle = this.palette.families[family];
    pen.globalAlpha = dim ? 0.12 : strong ? 1 : family === 3 ? 0.5 : 0.72;
    pen.lineWidth = strong ? 2.2 : 1.1;
    pen.setLineDash(dashed ? [5, 4] : []);
    line(pen, x1 + away, y1, x2 - away, y2);
    pen.setLineDash([]);
    const angle = Math.atan2(y2 - y1, x2 - x1 - 2 * away), size = strong ? 8 : 6;
    pen.beginPath();
    pen.moveTo(x2 - away, y2);
    pen.lineTo(x2 - away - size * Math.cos(angle - 0.4), y2 - size * Math.sin(angle - 0.4));
    pen.lineTo(x2 - away - size * Math.cos(angle + 0.4), y2 - size * Math.sin(angle + 0.4));
    pen.fill();
    pen.globalAlpha = 1;
    this.drawn++;
  }

  /** A message without an arrival: part of an arrow, and a cross where it was lost. */
  unheard(i) {
    const { context: pen, run, palette } = this;
    const x1 = this.x(run.lane[i]), x2 = this.x(run.other[i]);
    if (x1 < 0 || x2 < 0) return;
    const fate = FATES[run.fate[i]];
    const reach = fate === "missed" ? 1 : 0.42;
    const y1 = this.yEvent(i), y2 = y1 + Math.max(9, this.rowHeight * 0.9);
    const away = Math.sign(x2 - x1) * 5;
    const x = x1 + away + (x2 - x1 - 2 * away) * reach;
    const lost = fate === "lost" || fate === "missed";
    pen.strokeStyle = lost ? palette.bad : palette.mute;
    pen.globalAlpha = this.isDim(i) ? 0.12 : lost ? 0.95 : 0.6;
    pen.lineWidth = 1.2;
    if (!lost) pen.setLineDash([2, 3]);
    line(pen, x1 + away, y1, x, y2);
    pen.setLineDash([]);
    if (lost) {
      pen.lineWidth = 1.8;
      line(pen, x - 4, y2 - 4, x + 4, y2 + 4);
      line(pen, x - 4, y2 + 4, x + 4, y2 - 4);
    }
    pen.globalAlpha = 1;
    this.drawn++;
  }

  drawEvents() {
    const { context: pen, run, layout, view, palette } = this;
    const list = layout.visible[this.place];
    const dense = this.last - this.first > GLYPHS_MOST;
    const size = Math.max(1.6, Math.min(4.2, this.rowHeight * 0.24));
    const words = layout.scale.mode === "time" || this.rowHeight >= 14;
    const taken = new Float64Array(run.lanes.length).fill(-Infinity);
    let lastLabel = -Infinity;
    // With more events than pixels, one for each lane and pixel.
    const stride = dense ? Math.ceil((this.last - this.first) / (GLYPHS_MOST * 4)) : 1;
    for (let k = this.first; k <= this.last; k += stride) {
      const i = list[k], lane = run.lane[i], x = this.x(lane);
      if (x < 0) continue;
      const y = this.y(k);
      if (y - taken[lane] < 1) continue;
      taken[lane] = y;
      pen.globalAlpha = this.isDim(i) ? 0.16 : 1;
      this.glyph(i, x, y, size);
      if (words && !dense && (y - lastLabel >= 12 || i === view.selected)) {
        this.label(i, x, y);
        lastLabel = y;
      }
    }
    pen.globalAlpha = 1;
    if (view.selected >= 0 && layout.passes[this.place][view.selected]) {
      const x = this.x(run.lane[view.selected]);
      pen.strokeStyle = palette.ink;
      pen.lineWidth = 1.6;
      pen.beginPath();
      pen.arc(x, this.yEvent(view.selected), size + 4, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  glyph(i, x, y, size) {
    const pen = this.context;
    pen.fillStyle = pen.strokeStyle = this.palette.families[this.run.family[i]];
    pen.lineWidth = 1.4;
    drawGlyph(pen, this.run.kindOf(i), x, y, size, this.palette);
    this.drawn++;
  }

  label(i, x, y) {
    const { context: pen, palette, run, view } = this;
    const kind = run.kindOf(i);
    const right = x < GUTTER + (this.width - GUTTER) * 0.66;
    const room = right ? this.width - x - 20 : x - GUTTER - 16;
    const other = run.other[i] >= 0 ? run.lanes[run.other[i]].name : "";
    const prefix = kind === "send" ? `\u2192${other} ` : kind === "receive" ? `${other}\u2192 ` : "";
    let text = prefix + run.words(i);
    const strong = kind === "violation" || kind === "fault" || kind === "end" || kind === "boot";
    const most = Math.max(8, Math.floor(Math.min(room, strong ? 1200 : 420) / 5.9));
    if (text.length > most) text = `${text.slice(0, most - 1)}\u2026`;
    pen.font = `${kind === "violation" || kind === "fault" ? "600 " : ""}11.5px ${palette.sans}`;
    pen.textBaseline = "middle";
    pen.textAlign = right ? "left" : "right";
    const start = right ? x + 11 : x - 11;
    const wide = pen.measureText(text).width;
    const alpha = pen.globalAlpha;
    pen.globalAlpha = alpha * 0.78;
    pen.fillStyle = i === view.selected ? palette.select : kind === "violation" ? palette.bad_soft : palette.paper;
    pen.fillRect(right ? start - 2 : start - wide - 2, y - 7.5, wide + 4, 15);
    pen.globalAlpha = alpha;
    pen.fillStyle = strong ? palette.families[7] : view.hits?.[i] ? palette.accent : run.family[i] === 3 ? palette.mute : palette.ink;
    pen.fillText(text, start, y + 0.5);
  }

  /** Numbers and times at the left. */
  drawGutter() {
    const { context: pen, palette, run, layout, view } = this;
    pen.fillStyle = palette.sunken;
    pen.fillRect(0, HEADER, GUTTER - 8, this.height);
    pen.textBaseline = "middle";
    const list = layout.visible[this.place];
    let lastY = -Infinity, lastTime = "";
    const stride = Math.max(1, Math.floor((this.last - this.first) / GLYPHS_MOST));
    for (let k = this.first; k <= this.last; k += stride) {
      const y = this.y(k);
      if (y - lastY < 12) continue;
      lastY = y;
      const i = list[k];
      pen.textAlign = "right";
      pen.font = `10.5px ${palette.mono}`;
      pen.fillStyle = i === view.selected ? palette.ink : palette.mute;
      pen.fillText(String(run.id(i)), 50, y);
      const time = (run.at[i] / 1e6).toFixed(3);
      if (time !== lastTime) {
        pen.fillStyle = palette.soft;
        pen.fillText(time, GUTTER - 13, y);
        lastTime = time;
      }
      if (view.hits?.[i]) {
        pen.fillStyle = palette.accent;
        pen.fillRect(0, y - 5, 3, 10);
      }
      this.drawn++;
    }
  }

  /** The violation, and where two runs part. */
  drawMarks() {
    const { context: pen, palette, run, view } = this;
    const mark = (i, text, colour) => {
      const y = this.yEvent(i);
      if (y < HEADER || y > this.height) return;
      pen.fillStyle = colour;
      pen.beginPath();
      pen.moveTo(0, y - 6);
      pen.lineTo(8, y);
      pen.lineTo(0, y + 6);
      pen.fill();
      if (text) {
        pen.strokeStyle = colour;
        pen.lineWidth = 1.5;
        line(pen, 0, y - this.rowHeight / 2, this.width, y - this.rowHeight / 2);
        pen.font = `600 10.5px ${palette.sans}`;
        pen.textAlign = "right";
        pen.textBaseline = "middle";
        const wide = pen.measureText(text).width + 14;
        pen.fillRect(this.width - wide - 6, y - this.rowHeight / 2 - 8, wide, 16);
        pen.fillStyle = palette.paper;
        pen.fillText(text, this.width - 13, y - this.rowHeight / 2 + 0.5);
      }
      this.drawn++;
    };
    if (view.parts >= 0) mark(view.parts, "here the runs part", palette.accent);
    if (run.violationEvent >= 0) mark(run.violationEvent, "", palette.bad);
  }

  drawHeader() {
    const { context: pen, palette, run, layout } = this;
    pen.fillStyle = palette.sheet;
    pen.fillRect(0, 0, this.width, HEADER);
    pen.strokeStyle = palette.line;
    pen.lineWidth = 1;
    line(pen, 0, HEADER - 0.5, this.width, HEADER - 0.5);
    const top = layout.visible[this.place][Math.min(this.first + 1, this.last)] ?? 0;
    run.lanes.forEach((lane, place) => {
      const x = this.x(place);
      if (x < GUTTER - 10) return;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      const node = lane.kind === "node";
      pen.font = `${node ? "640 12.5px" : "500 11.5px"} ${palette.sans}`;
      pen.fillStyle = node ? palette.ink : palette.soft;
      const name = lane.kind === "world" ? "world" : lane.name;
      pen.fillText(name, x, node ? 13 : 20);
      if (node) {
        const state = run.stateAfter(lane.node, top);
        pen.font = `10.5px ${palette.sans}`;
        pen.fillStyle = palette.mute;
        const words = !state[0] ? "down" : this.laneWidth[place] >= 84 ? `${roleWords(state)}, e${state[2]}` : state[0] === 5 ? `leads, e${state[2]}` : `e${state[2]}`;
        pen.fillText(words, x, 28);
      }
      this.drawn++;
    });
    pen.fillStyle = palette.sheet;
    pen.fillRect(0, 0, GUTTER - 8, HEADER - 1);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.font = `10.5px ${palette.sans}`;
    pen.fillStyle = palette.mute;
    pen.fillText("event", 50, 28);
    pen.fillText("ms", GUTTER - 13, 28);
    if (this.view.title) {
      pen.textAlign = "left";
      pen.font = `600 11px ${palette.sans}`;
      pen.fillStyle = palette.soft;
      pen.fillText(this.view.title, 8, 12);
    }
  }

  /** The event at a point of the canvas, or -1. */
  eventAt(x, y) {
    if (!this.layout || y < HEADER) return -1;
    const { layout, run } = this;
    const list = layout.visible[this.place];
    const height = y - HEADER + this.view.top;
    const k = layout.kNearest(this.place, height);
    if (k < 0) return -1;
    if (layout.scale.mode === "rows") {
      return Math.abs(layout.yOf(this.place, k) - height) <= Math.max(this.rowHeight, 6) / 2 + 1 ? list[k] : -1;
    }
    let best = -1, least = 14;
    for (let near = Math.max(0, k - 200); near < Math.min(list.length, k + 200); near++) {
      const far = Math.hypot(layout.yOf(this.place, near) - height, (this.x(run.lane[list[near]]) - x) / 3);
      if (far < least) { least = far; best = list[near]; }
    }
    return best;
  }
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

/** One shape for each sort of event, so that colour is not needed to tell them apart. */
function drawGlyph(pen, kind, x, y, size, palette) {
  pen.beginPath();
  switch (kind) {
    case "send": case "reply": case "welcome": case "notify": case "ask": case "connect":
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fillStyle = palette.paper;
      pen.fill();
      pen.stroke();
      break;
    case "write": case "durable": case "synced":
      if (kind === "write") { pen.fillStyle = palette.paper; pen.fillRect(x - size, y - size, 2 * size, 2 * size); pen.strokeRect(x - size, y - size, 2 * size, 2 * size); }
      else pen.fillRect(x - size, y - size, 2 * size, 2 * size);
      break;
    case "note":
      pen.moveTo(x, y - size - 1); pen.lineTo(x + size + 1, y); pen.lineTo(x, y + size + 1); pen.lineTo(x - size - 1, y);
      pen.fill();
      break;
    case "wake": case "begin":
      pen.arc(x, y, Math.max(1.4, size * 0.5), 0, 2 * Math.PI);
      pen.fill();
      break;
    case "boot":
      pen.moveTo(x, y - size - 1.5); pen.lineTo(x + size + 1.5, y + size); pen.lineTo(x - size - 1.5, y + size);
      pen.fill();
      break;
    case "end": case "halt": case "lost": case "close": case "gone": case "peer-gone":
      pen.lineWidth = 2;
      pen.moveTo(x - size, y - size); pen.lineTo(x + size, y + size);
      pen.moveTo(x - size, y + size); pen.lineTo(x + size, y - size);
      pen.stroke();
      break;
    case "fault": case "violation":
      pen.moveTo(x, y + size + 2); pen.lineTo(x + size + 2, y - size - 1); pen.lineTo(x - size - 2, y - size - 1);
      pen.fill();
      break;
    default:
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fill();
  }
}

/** Links as `1|2,3` where both directions are cut, else with arrows. */
function cutWords(links) {
  const has = new Set(links.map(([a, b]) => `${a},${b}`));
  const both = links.filter(([a, b]) => a < b && has.has(`${b},${a}`)).map(([a, b]) => `n${a + 1}\u2194n${b + 1}`);
  const one = links.filter(([a, b]) => !has.has(`${b},${a}`)).map(([a, b]) => `n${a + 1}\u2192n${b + 1}`);
  return [...both, ...one].join(" ");
}
