// The panel at the right: the verdict, and the card of the event that is selected.

const CHAIN_MOST = 14;
const EFFECTS_MOST = 12;

class Panel {
  constructor(element, app) {
    this.element = element;
    this.app = app;
    this.verdicts = app.runs.map((run, r) => this.verdict(run, r));
    this.card = el("div", { id: "card" });
    element.replaceChildren(this.card, ...this.verdicts);
  }

  verdict(run, r) {
    const many = this.app.runs.length > 1;
    const name = many ? el("p", { class: "meta" }, `${r === 0 ? "left" : "right"}: ${run.name}`) : null;
    const broken = run.violation;
    const head = broken
      ? [
          el("h3", {}, `Broken: ${broken.property}`, el("button", { class: "link at", "data-goto": "violation", onclick: () => this.app.select(r, run.violationEvent, true) }, `event ${broken.event}`)),
          el("p", { class: "lead" }, `The property: ${broken.meaning}.`),
          el("dl", { class: "pair" }, el("dt", {}, "seen"), el("dd", {}, broken.seen), el("dt", {}, "expected"), el("dd", {}, broken.expected)),
        ]
      : [el("h3", {}, "Every property held"), el("p", { class: "meta" }, `for ${timeWords(run.endedAt, 0)} of simulated time`)];
    return el("section", { class: `block verdict ${broken ? "bad" : "good"}` }, name, ...head,
      el("h4", {}, "Reproduce"), copyable(run.replay), copyable(run.record),
      this.faults(run, r),
      el("details", {}, el("summary", {}, "The schedule"), el("pre", {}, run.schedule)),
      el("details", {}, el("summary", {}, "All that was drawn"), el("pre", {}, run.drawn)),
      el("p", { class: "meta" }, `${run.n.toLocaleString("en")} events in ${run.steps.toLocaleString("en")} steps, ${run.nodes} nodes; hash ${run.hash}`),
    );
  }

  faults(run, r) {
    const fault = run.kinds.indexOf("fault"), rows = [];
    for (let i = 0; i < run.n; i++) if (run.kind[i] === fault) rows.push(i);
    if (rows.length === 0) return el("p", { class: "meta" }, "No faults but the network's own.");
    return el("details", rows.length <= 8 ? { open: true } : {}, el("summary", {}, rows.length === 1 ? "1 fault" : `${rows.length} faults`), ...rows.slice(0, 200).map((i) => this.row(run, r, i)));
  }

  row(run, r, i, here = false) {
    return el("button", { class: `row${here ? " here" : ""}`, "data-event": run.id(i), onclick: () => this.app.select(r, i, true), title: run.words(i) },
      el("span", { class: "id" }, run.id(i)), el("span", { class: "lane" }, run.laneOf(i).name), el("span", { class: "words" }, run.words(i)));
  }

  /** Shows an event, or that none is selected. The verdict comes first when it is what one looks at. */
  show(r, i) {
    const verdictFirst = i < 0 || i === this.app.runs[r].violationEvent;
    this.element.classList.toggle("verdict-first", verdictFirst);
    if (i < 0) {
      this.card.replaceChildren(el("section", { class: "block" }, el("p", { class: "none" }, "Click an event, or step with j and k.")));
      return;
    }
    const run = this.app.runs[r];
    const fate = run.fateOf(i);
    const other = run.other[i] >= 0 ? run.lanes[run.other[i]].name : "";
    const kind = run.kindOf(i);
    const where = kind === "send" ? `${run.laneOf(i).name} \u2192 ${other}` : kind === "receive" ? `${other} \u2192 ${run.laneOf(i).name}` : run.laneOf(i).name;
    const facts = [
      ["when", `${timeWords(run.at[i], 6)}, step ${run.step[i]}`],
      ["session", run.texts[run.sessions[i]]],
      ["path", run.texts[run.paths[i]]],
      ["zxid", zxidsWords(run.zxids[i])],
      ["fate", fate],
    ].filter(([, value]) => value);
    const detail = run.detailOf(i);
    this.card.replaceChildren(el("section", { class: "block", "data-card": run.id(i) },
      el("h3", {}, `${where} \u00b7 ${kind}`, el("span", { class: "at meta" }, `#${run.id(i)}`)),
      el("p", { class: "lead" }, run.words(i)),
      el("dl", { class: "pair" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("div", { class: "actions" },
        el("button", { onclick: () => this.app.coneOf(r, i) }, "Cone of this"),
        el("button", { onclick: (event) => copy(location.href.split("#")[0] + this.app.hashOf(r, i), event.target) }, "Copy link")),
      this.states(run, i),
      detail ? [el("h4", {}, "Content"), el("div", { class: "tree" }, showNotation(readNotation(detail)))] : null,
      this.chain(run, r, i),
      this.effects(run, r, i)));
  }

  /** The nodes' states around the event; what it changed is marked. */
  states(run, i) {
    const columns = ["role", "epoch", "last", "committed", "applied"];
    const own = run.laneOf(i).node;
    const cell = (state, name) => {
      const value = state[STATE_FIELDS.indexOf(name)];
      if (state[0] === 0) return name === "role" ? "down" : "";
      return name === "role" ? roleWords(state) : ["last", "committed", "applied"].includes(name) ? zxidWords(value) : String(value);
    };
    const rows = run.nodeLanes.flatMap((lane) => {
      const before = run.stateBefore(lane.node, i), after = run.stateAfter(lane.node, i);
      const changed = columns.map((name) => cell(before, name) !== cell(after, name));
      const row = (label, state, marked) => el("tr", { class: lane.node === own ? "own" : "" }, el("td", {}, label),
        ...columns.map((name, place) => el("td", { class: marked && changed[place] ? "changed" : "" }, cell(state, name))));
      return changed.some(Boolean) ? [row(`${lane.name} was`, before, true), row(`${lane.name} is`, after, true)] : [row(lane.name, after, false)];
    });
    const heads = ["role", "epoch", "log ends", "committed", "executed"];
    return [el("h4", {}, "Nodes"), el("table", { class: "states" },
      el("thead", {}, el("tr", {}, el("th", {}, ""), ...heads.map((name) => el("th", {}, name)))), el("tbody", {}, ...rows))];
  }

  chain(run, r, i) {
    const chain = chainOf(run, i, CHAIN_MOST + 1);
    const more = run.moreCauses.get(i) ?? [];
    if (chain.length === 0) return el("p", { class: "none" }, "Nothing that is told made this happen.");
    const rest = chain.length > CHAIN_MOST ? el("p", { class: "none" }, "and so on, back to the beginning") : null;
    return [el("h4", {}, "Because of"), ...more.map((cause) => this.row(run, r, cause)), ...chain.slice(0, CHAIN_MOST).map((cause) => this.row(run, r, cause)), rest];
  }

  effects(run, r, i) {
    const effects = run.effectsOf(i);
    if (effects.length === 0) return null;
    const rest = effects.length > EFFECTS_MOST ? el("p", { class: "none" }, `and ${effects.length - EFFECTS_MOST} more`) : null;
    return [el("h4", {}, "Leads to"), ...[...effects.slice(0, EFFECTS_MOST)].map((effect) => this.row(run, r, effect)), rest];
  }
}

function zxidsWords(zxids) {
  if (zxids === 0) return "";
  return Array.isArray(zxids) ? `${zxidWords(zxids[0])} to ${zxidWords(zxids[1])}` : zxidWords(zxids);
}

/** A command with a button that copies it. */
function copyable(command) {
  return el("div", { class: "command" }, el("code", {}, command), el("button", { title: "Copy", onclick: (event) => copy(command, event.target) }, "Copy"));
}

async function copy(text, button) {
  const say = (word) => {
    const before = button.dataset.label ??= button.textContent;
    button.textContent = word;
    setTimeout(() => { button.textContent = before; }, 1200);
  };
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    // A page opened from a file may not have a clipboard: the old way still works there.
    const area = el("textarea", { style: "position:fixed;opacity:0" });
    area.value = text;
    document.body.append(area);
    area.select();
    say(document.execCommand("copy") ? "Copied" : "Not copied");
    area.remove();
  }
}
