// Where events stand: which are visible, in which row, how far down.
//
// Two runs share their rows: what is the same in both stands side by side, what is not stands alone or opposite something
// else that is not.

const ROW_HEIGHTS = [3, 6, 10, 15, 20, 26];
const PAD = 12;
/** Browsers do not scroll further than some 16 million pixels. */
const SCROLL_MAX = 12e6;

class Layout {
  /** `passes`: for each run the marks of what is visible; `pairs`: flat list of ids that are the same in two runs. */
  constructor(runs, passes, pairs, scale) {
    this.runs = runs;
    this.scale = scale;
    this.visible = passes.map((marks) => marksToList(marks));
    this.near = runs.map((run, r) => nearest(passes[r], run.n));
    this.passes = passes;
    if (runs.length === 1) {
      this.rows = [null];
      this.rowCount = this.visible[0].length;
    } else {
      this.zip(pairs);
    }
    this.end = Math.max(...runs.map((run) => run.endedAt), 1);
    this.arrows = runs.map((run, r) => new ArrowIndex(run, passes[r], this.near[r]));
  }

  zip(pairs) {
    const [a, b] = this.visible;
    const rows = [new Int32Array(a.length), new Int32Array(b.length)];
    let row = 0, i = 0, j = 0;
    const upTo = (endA, endB) => {
      const start = row;
      let rowA = start, rowB = start;
      while (i < a.length && a[i] < endA) rows[0][i++] = rowA++;
      while (j < b.length && b[j] < endB) rows[1][j++] = rowB++;
      row = Math.max(rowA, rowB);
    };
    for (let p = 0; p < pairs.length; p += 2) {
      const first = pairs[p] - 1, second = pairs[p + 1] - 1;
      if (!this.passes[0][first] || !this.passes[1][second]) continue;
      upTo(first, second);
      rows[0][i++] = row;
      rows[1][j++] = row;
      row++;
    }
    upTo(Infinity, Infinity);
    this.rows = rows;
    this.rowCount = row;
  }

  get rowHeight() { return ROW_HEIGHTS[this.scale.zoom]; }

  get height() {
    if (this.scale.mode === "time") return 2 * PAD + this.end * this.scale.pixelsPerNs;
    return 2 * PAD + this.rowCount * this.rowHeight;
  }

  /** The middle of the k-th visible event of a run. */
  yOf(r, k) {
    const list = this.visible[r];
    if (k >= list.length) return this.height - PAD;
    if (this.scale.mode === "time") return PAD + this.runs[r].at[list[k]] * this.scale.pixelsPerNs;
    const row = this.rows[r] ? this.rows[r][k] : k;
    return PAD + (row + 0.5) * this.rowHeight;
  }

  /** The middle of an event, or of the next visible one. */
  yOfEvent(r, i) { return this.yOf(r, this.near[r][Math.max(0, Math.min(i, this.runs[r].n))]); }

  /** Where a moment is. */
  yOfTime(r, time) {
    if (this.scale.mode === "time") return PAD + time * this.scale.pixelsPerNs;
    return this.yOfEvent(r, this.runs[r].eventAt(time));
  }

  /** The first visible event at or below a height, as its place among the visible. */
  kAt(r, y) {
    let low = 0, high = this.visible[r].length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.yOf(r, middle) < y) low = middle + 1; else high = middle;
    }
    return low;
  }

  /** The visible event nearest to a height, as its place among the visible; -1 when there is none. */
  kNearest(r, y) {
    const k = this.kAt(r, y);
    const count = this.visible[r].length;
    if (count === 0) return -1;
    if (k >= count) return count - 1;
    if (k > 0 && y - this.yOf(r, k - 1) < this.yOf(r, k) - y) return k - 1;
    return k;
  }
}

function marksToList(marks) {
  let count = 0;
  for (const mark of marks) count += mark;
  const list = new Int32Array(count);
  for (let i = 0, k = 0; i < marks.length; i++) if (marks[i]) list[k++] = i;
  return list;
}

/** For each event the place among the visible of itself or the next one. */
function nearest(marks, n) {
  const near = new Int32Array(n + 1);
  for (let i = 0, k = 0; i < n; i++) {
    near[i] = k;
    k += marks[i];
    near[i + 1] = k;
  }
  return near;
}

/** Finds the arrows that cross a stretch of visible events without looking at all of them. */
class ArrowIndex {
  static BUCKET = 256;
  static LONG = 16;

  constructor(run, marks, near) {
    this.from = [];
    this.to = [];
    this.arrow = [];
    this.buckets = [];
    this.long = [];
    for (let a = 0; a < run.arrowFrom.length; a++) {
      const i = run.arrowFrom[a], j = run.arrowTo[a];
      if (!marks[i] || !marks[j]) continue;
      const place = this.arrow.length;
      const [from, to] = [near[i], near[j]];
      this.from.push(from);
      this.to.push(to);
      this.arrow.push(a);
      const first = Math.floor(from / ArrowIndex.BUCKET), last = Math.floor(to / ArrowIndex.BUCKET);
      if (last - first > ArrowIndex.LONG) { this.long.push(place); continue; }
      for (let bucket = first; bucket <= last; bucket++) (this.buckets[bucket] ??= []).push(place);
    }
  }

  /** Calls back for each arrow that touches visible events `first` to `last`. */
  crossing(first, last, back) {
    const begin = Math.floor(first / ArrowIndex.BUCKET), end = Math.floor(last / ArrowIndex.BUCKET);
    for (let bucket = begin; bucket <= end; bucket++) {
      for (const place of this.buckets[bucket] ?? []) {
        // An arrow stands in each bucket that it touches: it is told in the first of those looked at.
        const home = Math.max(begin, Math.floor(this.from[place] / ArrowIndex.BUCKET));
        if (home === bucket && this.from[place] <= last && this.to[place] >= first) back(this.arrow[place]);
      }
    }
    for (const place of this.long) if (this.from[place] <= last && this.to[place] >= first) back(this.arrow[place]);
  }
}
