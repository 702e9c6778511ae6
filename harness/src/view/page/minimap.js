// The whole run at a glance: roles and epochs, how much happens when, faults, matches, the violation, and the part that is
// on the screen. Dragging scrolls.

class Minimap {
  constructor(canvas) {
    this.canvas = canvas;
    this.still = document.createElement("canvas");
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    for (const canvas of [this.canvas, this.still]) {
      canvas.width = Math.max(1, Math.round(this.width * ratio));
      canvas.height = Math.max(1, Math.round(this.height * ratio));
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
  }

  /** Draws what does not change while scrolling. */
  prepare(layout, palette, views) {
    const pen = this.still.getContext("2d");
    pen.fillStyle = palette.sunken;
    pen.fillRect(0, 0, this.width, this.height);
    this.total = Math.max(layout.height, 1);
    const part = this.width / layout.runs.length;
    layout.runs.forEach((run, r) => this.prepareRun(pen, layout, palette, run, r, r * part, part, views[r]));
  }

  y(height) { return (height / this.total) * this.height; }

  prepareRun(pen, layout, palette, run, r, left, wide, view) {
    const bars = run.nodeLanes.length;
    const bar = Math.max(3, Math.min(8, (wide * 0.5) / Math.max(bars, 1)));
    run.nodeLanes.forEach((lane, place) => {
      const { events, states } = run.changes[lane.node];
      let drawnTo = -1;
      events.forEach((event, change) => {
        const from = this.y(layout.yOfEvent(r, event));
        const until = change + 1 < events.length ? this.y(layout.yOfEvent(r, events[change + 1])) : this.height;
        if (until <= drawnTo || states[change][0] === 0) return;
        pen.fillStyle = palette.epoch(states[change][2]);
        pen.globalAlpha = states[change][0] === 5 ? 1 : 0.38;
        pen.fillRect(left + 4 + place * bar, from, bar - 1.5, Math.max(until - from, 0.5));
        drawnTo = from + 0.25;
      });
    });
    pen.globalAlpha = 1;
    // How many events each line of pixels stands for.
    const counts = new Float64Array(Math.ceil(this.height) + 1);
    const list = layout.visible[r];
    const stride = Math.max(1, Math.floor(list.length / 20000));
    for (let k = 0; k < list.length; k += stride) counts[Math.floor(this.y(layout.yOf(r, k)))]++;
    if (layout.scale.mode === "time") {
      const most = Math.max(1, ...counts);
      const start = left + 6 + bars * bar, room = wide - (start - left) - 4;
      pen.fillStyle = palette.mute;
      counts.forEach((count, y) => count && pen.fillRect(start, y, Math.max(1, (count / most) * room), 1));
    }
    const edge = left + 6 + bars * bar;
    for (const span of run.spans) {
      const from = this.y(layout.yOfTime(r, span.from)), until = this.y(layout.yOfTime(r, span.until));
      if (span.kind === "slow-link") continue;
      if (span.kind === "cut") {
        pen.fillStyle = palette.cut;
        pen.fillRect(edge, from, wide - (edge - left) - 12, Math.max(1.5, until - from));
      } else {
        for (const node of span.nodes) {
          pen.fillStyle = span.kind === "down" ? palette.sunken : palette.families[1];
          pen.globalAlpha = span.kind === "down" ? 1 : 0.5;
          pen.fillRect(left + 4 + node * bar, from, bar - 1.5, Math.max(1.5, until - from));
          pen.globalAlpha = 1;
        }
      }
    }
    this.prepareMarks(pen, layout, palette, run, r, left, wide, view);
  }

  prepareMarks(pen, layout, palette, run, r, left, wide, view) {
    const tick = (i, colour, long) => {
      pen.fillStyle = colour;
      pen.fillRect(left + wide - long, this.y(layout.yOfEvent(r, i)) - 0.75, long, 1.5);
    };
    const fault = run.kinds.indexOf("fault");
    for (let i = 0; i < run.n; i++) if (run.kind[i] === fault) tick(i, palette.families[7], 8);
    if (view.hits) {
      let drawn = -1;
      for (let i = 0; i < run.n; i++) {
        if (!view.hits[i] || !layout.passes[r][i]) continue;
        const y = Math.floor(this.y(layout.yOfEvent(r, i)));
        if (y === drawn) continue;
        drawn = y;
        tick(i, palette.accent, 12);
      }
    }
    if (view.parts >= 0) tick(view.parts, palette.accent, wide);
    if (run.violationEvent >= 0) {
      const y = Math.min(this.height - 5, Math.max(5, this.y(layout.yOfEvent(r, run.violationEvent))));
      pen.fillStyle = palette.bad;
      pen.fillRect(left, y - 0.75, wide, 1.5);
      pen.beginPath();
      pen.moveTo(left + wide, y - 5);
      pen.lineTo(left + wide - 9, y);
      pen.lineTo(left + wide, y + 5);
      pen.fill();
    }
  }

  /** Draws it with the part that is on the screen. */
  draw(palette, top, bottom, selectedY) {
    const pen = this.canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.still, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const from = this.y(top), until = Math.max(this.y(bottom), from + 6);
    pen.fillStyle = palette.shade;
    pen.fillRect(0, from, this.width, until - from);
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(1, from + 0.5, this.width - 2, until - from - 1);
    if (selectedY >= 0) {
      pen.fillStyle = palette.ink;
      pen.fillRect(0, this.y(selectedY) - 1, 4, 2);
    }
  }
}
