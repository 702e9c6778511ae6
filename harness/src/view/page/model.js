// A run as the page holds it: columns of events, and what is derived from them once.
//
// Events have two numbers: the place in the columns, from 0, used everywhere inside; and the id, from 1, shown to people.

const FATES = ["", "lost", "missed", "doubled", "late"];
const ROLES = ["down", "looking", "joining", "follows", "about to lead", "leads"];
const STATE_FIELDS = ["role", "leader", "epoch", "last", "committed", "applied", "sessions", "znodes", "watches", "outstanding"];
const DOWN = [0, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/** What an event is part of: this gives its colour. */
const FAMILIES = ["other", "election", "replication", "heartbeat", "client", "disk", "sync", "fault"];
const FAMILY_WORDS = {
  election: ["pre-vote", "pre-vote-reply", "new-epoch", "refused", "ack-epoch", "hand-over", "promise", "asks", "stands", "elected", "looks"],
  heartbeat: ["heartbeat", "alive", "heard", "wakes"],
  replication: ["propose", "ack", "commit", "forward", "append", "executes", "barrier", "barrier-passed", "leads"],
  sync: ["position", "positioned", "truncate", "snapshot-chunk", "snapshot-received", "snapshot", "brings", "follows", "in", "reset", "log"],
};
const FAMILY_OF_WORD = new Map(Object.entries(FAMILY_WORDS).flatMap(([family, words]) => words.map((word) => [word, FAMILIES.indexOf(family)])));
const CLIENT_KINDS = new Set(["open", "request", "gone", "welcome", "reply", "notify", "close", "connect", "connected", "ask", "answer", "notice", "lost"]);
const FAULT_KINDS = new Set(["fault", "decision", "healed", "violation", "boot", "end", "halt", "retire", "retired", "peer-gone"]);

/** Unpacks the page's data: base64 of zlib of JSON. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

class Run {
  constructor(data, kinds) {
    Object.assign(this, data);
    const columns = data.events;
    this.events = undefined;
    this.kinds = kinds;
    this.texts = ["", ...columns.texts];
    this.n = columns.at.length;
    this.at = new Float64Array(this.n);
    let at = 0;
    for (let i = 0; i < this.n; i++) this.at[i] = at += columns.at[i];
    this.step = Uint32Array.from(columns.step);
    this.lane = Uint16Array.from(columns.lane);
    this.kind = Uint8Array.from(columns.kind);
    this.other = Int16Array.from(columns.other, (lane) => lane - 1);
    this.fate = Uint8Array.from(columns.fate);
    this.text = columns.text;
    this.detail = columns.detail;
    this.sessions = columns.sessions;
    this.paths = columns.paths;
    this.zxids = columns.zxids;
    this.readCauses(columns.causes);
    this.readStates(columns.after);
    this.readFamilies();
    this.readArrows();
  }

  readCauses(column) {
    this.cause = new Int32Array(this.n).fill(-1);
    this.moreCauses = new Map();
    const effects = new Uint32Array(this.n + 1);
    column.forEach((back, i) => {
      const all = Array.isArray(back) ? back : back ? [back] : [];
      if (all.length) this.cause[i] = i - all[0];
      if (all.length > 1) this.moreCauses.set(i, all.slice(1).map((step) => i - step));
      for (const step of all) effects[i - step + 1]++;
    });
    // Effects in one array, those of an event from `effectStart[event]` on.
    for (let i = 0; i < this.n; i++) effects[i + 1] += effects[i];
    this.effectStart = effects;
    this.effectList = new Uint32Array(effects[this.n]);
    const fill = effects.slice();
    for (let i = 0; i < this.n; i++) for (const cause of this.causesOf(i)) this.effectList[fill[cause]++] = i;
  }

  readStates(column) {
    this.nodeLanes = this.lanes.map((lane, place) => ({ ...lane, place })).filter((lane) => lane.kind === "node");
    this.changes = this.nodeLanes.map(() => ({ events: [], states: [] }));
    const nodeOf = this.lanes.map((lane) => (lane.kind === "node" ? lane.node : -1));
    for (let i = 0; i < this.n; i++) {
      if (!column[i]) continue;
      const changes = this.changes[nodeOf[this.lane[i]]];
      changes.events.push(i);
      changes.states.push(column[i]);
    }
  }

  readFamilies() {
    this.family = new Uint8Array(this.n);
    const byText = new Map();
    const kindFamily = this.kinds.map((kind) =>
      CLIENT_KINDS.has(kind) ? 4 : FAULT_KINDS.has(kind) ? 7 : kind === "durable" || kind === "synced" ? 5 : -1);
    for (let i = 0; i < this.n; i++) {
      const fixed = kindFamily[this.kind[i]];
      if (fixed >= 0) { this.family[i] = fixed; continue; }
      let family = byText.get(this.text[i]);
      if (family === undefined) {
        const word = this.texts[this.text[i]].split(" ", 1)[0];
        byText.set(this.text[i], family = FAMILY_OF_WORD.get(word) ?? 0);
      }
      this.family[i] = family;
    }
    // A write is the disk's whatever it is for.
    const write = this.kinds.indexOf("write");
    for (let i = 0; i < this.n; i++) if (this.kind[i] === write) this.family[i] = 5;
  }

  /** Arrows lead from a cause to its effect in another lane; the second of two arrivals is marked. */
  readArrows() {
    const from = [], to = [], again = [];
    const arrived = new Uint8Array(this.n);
    const receive = this.kinds.indexOf("receive");
    for (let i = 0; i < this.n; i++) {
      const cause = this.cause[i];
      if (cause < 0 || this.lane[cause] === this.lane[i] || this.lanes[this.lane[cause]].kind === "world") continue;
      if (this.lanes[this.lane[i]].kind === "world") continue;
      from.push(cause);
      to.push(i);
      again.push(this.kind[i] === receive && arrived[cause] ? 1 : 0);
      arrived[cause] = 1;
    }
    this.arrowFrom = Uint32Array.from(from);
    this.arrowTo = Uint32Array.from(to);
    this.arrowAgain = Uint8Array.from(again);
    this.arrived = arrived;
  }

  id(i) { return i + 1; }
  kindOf(i) { return this.kinds[this.kind[i]]; }
  laneOf(i) { return this.lanes[this.lane[i]]; }
  words(i) { return this.texts[this.text[i]]; }
  detailOf(i) { return this.texts[this.detail[i]]; }
  causesOf(i) {
    if (this.cause[i] < 0) return [];
    return [this.cause[i], ...(this.moreCauses.get(i) ?? [])];
  }
  effectsOf(i) { return this.effectList.subarray(this.effectStart[i], this.effectStart[i + 1]); }

  /** A message that was sent and of which no arrival is told. */
  isUnheard(i) {
    return this.kindOf(i) === "send" && !this.arrived[i];
  }

  /** What became of something that was sent, in words; empty when it arrived as it should. */
  fateOf(i) {
    const fate = FATES[this.fate[i]];
    if (fate === "missed") return "arrives where no process runs";
    if (fate === "lost") return "lost on its way";
    if (fate === "doubled") return "arrives twice";
    if (this.isUnheard(i)) return fate === "late" ? "late, and not arrived when the run ended" : "no arrival is told: still on its way, or never sent";
    return fate === "late" ? "late" : "";
  }

  /** The number of state changes of a node up to and with an event. */
  changesUpTo(node, i) {
    return upperBound(this.changes[node].events, i);
  }
  /** A node's state after an event. */
  stateAfter(node, i) {
    const place = this.changesUpTo(node, i);
    return place ? this.changes[node].states[place - 1] : DOWN;
  }
  stateBefore(node, i) { return this.stateAfter(node, i - 1); }

  /** The first event at or after a time. */
  eventAt(time) { return lowerBound(this.at, time); }

  /** The event of the violation, or -1. */
  get violationEvent() { return this.violation ? this.violation.event - 1 : -1; }
}

/** How many of an ascending list are at most this. */
function upperBound(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

/** How many of an ascending list are less than this. */
function lowerBound(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** A zxid as people write it: epoch and counter. */
function zxidWords(zxid) {
  return `${Math.floor(zxid / 2 ** 32)}:${zxid % 2 ** 32}`;
}

function roleWords(state) {
  const role = ROLES[state[0]];
  return state[0] === 2 || state[0] === 3 ? `${role} n${state[1] + 1}` : role;
}

/** A moment in milliseconds. */
function timeWords(ns, digits = 3) {
  return `${(ns / 1e6).toFixed(digits)} ms`;
}
