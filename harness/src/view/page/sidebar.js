// The filters at the left.

const KIND_GROUPS = [
  ["Messages", ["send", "receive"]],
  ["Disk", ["write", "durable", "synced"]],
  ["Nodes", ["note", "wake", "boot", "end", "retire", "retired", "halt", "peer-gone"]],
  ["Clients", ["connect", "connected", "ask", "answer", "notice", "lost"]],
  ["Serving", ["open", "welcome", "request", "reply", "notify", "close", "gone"]],
  ["World", ["begin", "fault", "decision", "healed", "rest", "violation", "other"]],
];
const GROUP_FAMILY = { Messages: "replication", Disk: "disk", Nodes: "election", Clients: "client", Serving: "client", World: "fault" };
const MENU_MOST = 300;

class Sidebar {
  /** `changed` is called when a filter is. */
  constructor(element, app, changed) {
    this.element = element;
    this.app = app;
    this.changed = changed;
    this.build();
  }

  build() {
    const { app } = this;
    const kinds = app.runs[0].kinds;
    const counts = new Map();
    for (const run of app.runs) for (const kind of run.kind) counts.set(kinds[kind], (counts.get(kinds[kind]) ?? 0) + 1);
    const lanes = [...new Map(app.runs.flatMap((run) => run.lanes).map((lane) => [lane.name, lane])).values()];
    this.fields = {
      session: this.field("Session", "0x5c\u2026", menuOf(app.runs, "sessions")),
      path: this.field("Path", "/lock", menuOf(app.runs, "paths")),
      zxid: this.field("Zxid", "5:91, 5:90..5:95, 5:", null),
    };
    this.clearButton = el("button", { class: "link", onclick: () => app.clearFilters() }, "clear");
    this.laneChips = lanes.map((lane) => el("button", {
      class: "chip", "data-lane": lane.name, "aria-pressed": "true", title: "Click to hide or show; double click for this alone",
      onclick: () => this.toggleLane(lane.name), ondblclick: () => this.onlyLane(lane.name, lanes),
    }, lane.name));
    this.kindBoxes = new Map();
    this.groupBoxes = [];
    const groups = KIND_GROUPS.map(([title, members]) => this.group(title, members.filter((kind) => counts.has(kind)), counts));
    this.routine = el("input", { type: "checkbox", id: "routine", onchange: () => { app.filter.routine = this.routine.checked; this.changed(); } });
    const laneGroup = (kind) => lanes.map((lane, place) => (lane.kind === kind ? this.laneChips[place] : null)).filter(Boolean);
    this.element.replaceChildren(
      el("h2", {}, "Lanes", this.clearButton),
      el("div", { class: "chips" }, ...laneGroup("node"), ...laneGroup("disk")),
      el("div", { class: "chips", style: "margin-top:4px" }, ...laneGroup("client"), ...laneGroup("world")),
      el("h2", {}, "About"),
      ...Object.values(this.fields).map((field) => field.element),
      el("h2", {}, "Kinds"),
      el("div", { class: "kinds" },
        el("label", { title: "Heartbeats, pings, and nodes that wake" }, this.routine, "Heartbeats and pings"),
        ...groups),
    );
    this.show();
  }

  field(title, placeholder, menu) {
    const name = title.toLowerCase();
    const input = el("input", {
      type: "text", id: `filter-${name}`, placeholder, autocomplete: "off", spellcheck: "false", list: menu ? `menu-${name}` : null,
      oninput: () => {
        this.app.filter[name] = input.value.trim();
        input.setAttribute("aria-invalid", String(name === "zxid" && zxidRange(input.value) === false));
        this.changed();
      },
    });
    const list = menu ? el("datalist", { id: `menu-${name}` }, ...menu.map((value) => el("option", { value }))) : null;
    return { input, element: el("label", { class: "field" }, el("span", {}, title), input, list) };
  }

  group(title, members, counts) {
    if (members.length === 0) return null;
    const { filter } = this.app;
    const box = el("input", { type: "checkbox", "data-group": title, onchange: () => {
      for (const kind of members) if (box.checked) filter.hiddenKinds.delete(kind); else filter.hiddenKinds.add(kind);
      this.show();
      this.changed();
    } });
    this.groupBoxes.push([box, members]);
    const total = members.reduce((sum, kind) => sum + counts.get(kind), 0);
    const boxes = members.map((kind) => {
      const one = el("input", { type: "checkbox", "data-kind": kind, onchange: () => {
        if (one.checked) filter.hiddenKinds.delete(kind); else filter.hiddenKinds.add(kind);
        this.show();
        this.changed();
      } });
      this.kindBoxes.set(kind, one);
      return el("label", { class: "sub" }, one, kind, el("b", {}, counts.get(kind).toLocaleString("en")));
    });
    const swatch = el("i", { style: `background:var(--${GROUP_FAMILY[title]})` });
    return el("details", {}, el("summary", { style: "margin-top:2px" },
      el("label", { style: "display:inline-flex;width:calc(100% - 16px)", onclick: (event) => event.stopPropagation() }, box, swatch, title, el("b", {}, total.toLocaleString("en")))), ...boxes);
  }

  toggleLane(name) {
    const { hiddenLanes } = this.app.filter;
    if (!hiddenLanes.delete(name)) hiddenLanes.add(name);
    this.show();
    this.changed();
  }

  onlyLane(name, lanes) {
    this.app.filter.hiddenLanes = new Set(lanes.map((lane) => lane.name).filter((other) => other !== name));
    this.show();
    this.changed();
  }

  /** Shows the filter's state. */
  show() {
    const { filter } = this.app;
    for (const chip of this.laneChips) chip.setAttribute("aria-pressed", String(!filter.hiddenLanes.has(chip.dataset.lane)));
    for (const [kind, box] of this.kindBoxes) box.checked = !filter.hiddenKinds.has(kind);
    for (const [box, members] of this.groupBoxes) {
      const hidden = members.filter((kind) => filter.hiddenKinds.has(kind)).length;
      box.checked = hidden === 0;
      box.indeterminate = hidden > 0 && hidden < members.length;
    }
    this.routine.checked = filter.routine;
    for (const [name, field] of Object.entries(this.fields)) if (field.input.value.trim() !== filter[name]) field.input.value = filter[name];
    this.clearButton.hidden = !filter.isActive;
  }
}

/** The values that occur in a column of texts, the most frequent first. */
function menuOf(runs, column) {
  const counts = new Map();
  for (const run of runs) {
    for (const number of run[column]) {
      if (number) for (const value of run.texts[number].split(" ")) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, MENU_MOST).map(([value]) => value);
}
