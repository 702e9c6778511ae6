// What is shown, and what is looked for.

/** Events that go on all the time and say little. */
const ROUTINE = /^(heartbeat|alive|heard|wakes|#-2 )/;

class Filter {
  constructor() { this.clear(); }

  clear() {
    this.hiddenLanes = new Set();
    this.hiddenKinds = new Set();
    this.routine = true;
    this.session = "";
    this.path = "";
    this.zxid = "";
    this.only = false;
  }

  /** Whether anything is hidden by it. */
  get isActive() {
    return this.hiddenLanes.size > 0 || this.hiddenKinds.size > 0 || !this.routine || this.session !== "" ||
      this.path !== "" || this.zxid !== "" || this.only;
  }

  /** Marks the events that pass. `cone` and `hits` are marks too, or null. */
  apply(run, cone, hits) {
    const passes = new Uint8Array(run.n);
    const lanes = run.lanes.map((lane) => !this.hiddenLanes.has(lane.name));
    const kinds = run.kinds.map((kind) => !this.hiddenKinds.has(kind));
    const session = numbered(run, (text) => text.split(" ").some((part) => part.includes(this.session)), this.session);
    const path = numbered(run, (text) => text.split(" ").some((part) => part.includes(this.path)), this.path);
    const range = zxidRange(this.zxid);
    const routine = this.routine ? null : numbered(run, (text) => ROUTINE.test(text), "routine");
    for (let i = 0; i < run.n; i++) {
      if (!lanes[run.lane[i]] || !kinds[run.kind[i]]) continue;
      if (cone && !cone[i]) continue;
      if (routine && routine(run.text[i])) continue;
      if (session && !session(run.sessions[i])) continue;
      if (path && !path(run.paths[i])) continue;
      if (range && !inRange(run.zxids[i], range)) continue;
      if (this.only && hits && !hits[i]) continue;
      passes[i] = 1;
    }
    return passes;
  }
}

/** A test of numbered texts that looks at each text once. */
function numbered(run, test, active) {
  if (active === "") return null;
  const known = new Map();
  return (number) => {
    let answer = known.get(number);
    if (answer === undefined) known.set(number, answer = number !== 0 && test(run.texts[number]));
    return answer;
  };
}

/** Reads `5:91`, `0x50000005b`, `5:90..5:95` or `5:` (a whole epoch). Null when empty, false when it makes no sense. */
function zxidRange(text) {
  if (text.trim() === "") return null;
  const one = (word) => {
    const parts = /^(\d+):(\d+)$/.exec(word);
    if (parts) return Number(parts[1]) * 2 ** 32 + Number(parts[2]);
    return /^0x[0-9a-f]+$/i.test(word) ? Number(word) : NaN;
  };
  const epoch = /^(\d+):$/.exec(text.trim());
  if (epoch) return [Number(epoch[1]) * 2 ** 32, (Number(epoch[1]) + 1) * 2 ** 32 - 1];
  const [first, last] = text.trim().split(/\s*(?:\.\.|-)\s*/);
  const range = [one(first), one(last ?? first)];
  return range.some(Number.isNaN) ? false : range;
}

function inRange(zxids, [first, last]) {
  if (zxids === 0) return false;
  return Array.isArray(zxids) ? zxids[0] <= last && zxids[1] >= first : zxids >= first && zxids <= last;
}

/** Marks the events that a query finds: words that all occur, or a regular expression between slashes. */
function findIn(run, query) {
  const text = query.trim();
  if (text === "") return null;
  let test;
  const expression = /^\/(.+)\/([i]?)$/.exec(text);
  if (expression) {
    try {
      const compiled = new RegExp(expression[1], expression[2] || "i");
      test = (line) => compiled.test(line);
    } catch {
      return new Uint8Array(run.n);
    }
  } else {
    const words = text.toLowerCase().split(/\s+/);
    test = (line) => { const low = line.toLowerCase(); return words.every((word) => low.includes(word)); };
  }
  const hits = new Uint8Array(run.n);
  const known = new Map();
  for (let i = 0; i < run.n; i++) {
    // Kind and lane are few: one look for each text in each of their combinations.
    const key = `${run.text[i]} ${run.detail[i]} ${run.kind[i]} ${run.lane[i]}`;
    let hit = known.get(key);
    if (hit === undefined) {
      hit = test(`${run.laneOf(i).name} ${run.kindOf(i)} ${run.words(i)} ${run.detailOf(i)}`) ? 1 : 0;
      known.set(key, hit);
    }
    hits[i] = hit;
  }
  return hits;
}
