// Opens the pages of `harness view` in a browser and uses them as a reader would.
//
// What the page shows is compared with what `harness show --json` prints of the same run, which does not pass through any
// of the page's code. Nothing here measures time: that a page of 100,000 events stays quick is seen by how little it draws.
//
//   HARNESS    the harness's binary; by default it is built and found below the target folder
//   CHROMIUM   the browser; /usr/bin/chromium by default

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const top = join(here, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "vivarium-view-"));
const DRAWN_MOST = 30_000;

let browser, context, broken, large, two;
const troubles = [];

function harness(...args) {
  const options = { cwd: top, encoding: "utf8", maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "inherit"] };
  if (process.env.HARNESS) return execFileSync(process.env.HARNESS, args, options);
  return execFileSync("cargo", ["run", "--quiet", "--release", "-p", "vivarium-harness", "--bin", "harness", "--", ...args], options);
}

/** A schedule of more than 100,000 events: five nodes, five busy clients, lost messages, a crash and a partition. */
function largeSchedule() {
  const clients = [0, 1, 2, 3, 4];
  const lines = ["format 2", "expect clean", "seed 7", "nodes 5", "chaos 22s", "weather seeded", ...clients.map((client) => `client ${client} timeout_ms=3000`)];
  const acl = '[(perms:31,id:(scheme:"world",id:"anyone"))]';
  for (let n = 1, at = 400; at < 21_500; n++, at += 7) {
    const key = `/key-${(n % 8) + 1}`;
    const op = n <= 16 ? `Create((path:"${key}",data:"0",acl:${acl},flags:0,stat:false))` : n % 3 ? `SetData(path:"${key}",data:"${n}",version:-1)` : `GetData(path:"${key}",watch:false)`;
    lines.push(`@${at}ms client ${n % clients.length} asks ${op}`);
    if (n % 20 === 0) for (let from = 1; from <= 5; from++) for (let to = 1; to <= 5; to++) if (from !== to) lines.push(`@${at}ms message ${from}>${to} Commit#0 lost`);
  }
  lines.push('@9s fault Crash(target:Leader,power:false,down:"900ms")', '@15s fault Partition(side:[1,2],both:true,length:"700ms")');
  return `${lines.join("\n")}\n`;
}

/** A page of a schedule, and what `show` says of the same run. */
function make(name, schedule, ...others) {
  const trace = join(folder, `${name}.trace`), page = join(folder, `${name}.html`);
  harness("record", schedule, "-o", trace);
  harness("view", trace, ...others, "-o", page);
  const [header, ...events] = harness("show", trace, "--json").trimEnd().split("\n").map((text) => JSON.parse(text));
  return { header, events, url: pathToFileURL(page).href, page };
}

before(async () => {
  broken = make("broken", join(here, "broken.sched"));
  writeFileSync(join(folder, "large.sched"), largeSchedule());
  large = make("large", join(folder, "large.sched"));
  const both = join(folder, "two.html");
  harness("view", join(folder, "broken.trace"), "--seed", "1", "-o", both);
  two = { url: pathToFileURL(both).href };
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a page; whatever goes wrong in it or asks the network for anything is a failure. */
async function open(url, hash = "", options = {}) {
  const page = options.context ? await options.context.newPage() : await context.newPage();
  troubles.length = 0;
  page.on("console", (message) => {
    // The tests themselves read a pixel now and then.
    if (["error", "warning"].includes(message.type()) && !message.text().includes("willReadFrequently")) troubles.push(message.text());
  });
  page.on("pageerror", (error) => troubles.push(error.stack));
  page.on("request", (request) => /^(file|data|blob):/.test(request.url()) || troubles.push(`asks for ${request.url()}`));
  await page.goto(url + hash);
  await page.waitForFunction(() => window.vivarium?.frames > 0);
  return page;
}

const figures = (page) => page.evaluate(() => window.vivarium.figures);
const count = (page) => page.locator("#count").textContent();

/** Waits until what was asked for has been drawn. */
async function settled(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key);
  await settled(page);
}

function finish(page) {
  assert.deepEqual(troubles, [], "the page has trouble");
  return page.close();
}

test("it opens at the violation, without errors and without the network, and shows all events", async () => {
  const page = await open(broken.url);
  const { events, shown, selected, drawn } = await figures(page);
  assert.deepEqual(events, [broken.events.length]);
  assert.deepEqual(shown, [broken.events.length]);
  assert.equal(selected, broken.header.violation.event);
  assert.ok(drawn[0] > 20 && drawn[0] < DRAWN_MOST, `${drawn} things drawn`);
  assert.equal(await count(page), `${broken.events.length.toLocaleString("en")} events`);
  const verdict = await page.locator(".verdict").textContent();
  for (const words of [broken.header.violation.meaning, broken.header.violation.seen, broken.header.violation.expected, broken.header.replay]) {
    assert.ok(verdict.includes(words), `the verdict says "${words}"`);
  }
  await finish(page);
});

test("keys step through events, lanes, causes and back to the violation", async () => {
  const page = await open(broken.url);
  const last = broken.header.violation.event;
  await press(page, "k", "k", "k");
  assert.equal((await figures(page)).selected, last - 3);
  await press(page, "j");
  assert.equal((await figures(page)).selected, last - 2);
  const lane = broken.events[last - 3].lane;
  const before = broken.events.filter((event) => event.lane === lane && event.id < last - 2).at(-1);
  await press(page, "K");
  assert.equal((await figures(page)).selected, before.id);
  await press(page, "v");
  assert.equal((await figures(page)).selected, last);
  await press(page, "[");
  assert.equal((await figures(page)).selected, broken.events[last - 1].causes[0]);
  await press(page, "]");
  assert.equal((await figures(page)).selected, last);
  const fault = broken.events.filter((event) => ["fault", "end", "boot", "healed", "halt"].includes(event.kind)).at(-1);
  await press(page, "p");
  assert.equal((await figures(page)).selected, fault.id, "without a search, p goes to what went wrong before");
  await press(page, "Escape");
  assert.equal((await figures(page)).selected, null);
  await finish(page);
});

test("a link leads to an event, and what is looked at is in the link", async () => {
  const page = await open(broken.url, "#e=42");
  assert.equal((await figures(page)).selected, 42);
  assert.equal(await page.locator("[data-card]").getAttribute("data-card"), "42");
  await press(page, "j");
  assert.match(page.url(), /#e=43$/);
  await page.evaluate(() => { location.hash = "#e=100&cone=causes"; });
  await page.waitForFunction(() => window.vivarium.figures.selected === 100 && window.vivarium.cone.mode === "causes");
  await page.goto("about:blank");
  await page.goto(`${broken.url}#e=${broken.events.length + 5}`);
  await page.waitForFunction(() => window.vivarium?.frames > 0);
  assert.equal((await figures(page)).selected, broken.header.violation.event, "no such event: where it begins");
  await finish(page);
});

test("filters show what they say", async () => {
  const page = await open(broken.url);
  const expect = async (what, passes) => {
    await settled(page);
    const wanted = broken.events.filter(passes).length;
    assert.ok(wanted > 0 && wanted < broken.events.length, `${what} is worth a test: ${wanted}`);
    assert.deepEqual((await figures(page)).shown, [wanted], what);
    assert.equal(await count(page), `${wanted.toLocaleString("en")} of ${broken.events.length.toLocaleString("en")} events`);
  };
  await page.click('[data-lane="n2"]');
  await expect("a hidden lane", (event) => event.lane !== "n2");
  await page.click('[data-lane="n2"]');
  await page.dblclick('[data-lane="n1"]');
  await expect("a lane alone", (event) => event.lane === "n1");
  await press(page, "x");
  const box = page.locator('[data-kind="note"]');
  await box.evaluate((element) => element.closest("details").open = true);
  await box.uncheck();
  await expect("a hidden kind", (event) => event.kind !== "note");
  await press(page, "x");
  await page.locator('[data-group="Disk"]').uncheck();
  await expect("a hidden group", (event) => !["write", "durable", "synced"].includes(event.kind));
  await press(page, "x");
  const session = broken.events.find((event) => event.sessions)?.sessions[0];
  await page.fill("#filter-session", session);
  await expect("a session", (event) => event.sessions?.includes(session));
  await page.fill("#filter-session", "");
  const path = broken.events.find((event) => event.paths?.[0].length > 3).paths[0];
  await page.fill("#filter-path", path);
  await expect("a path", (event) => event.paths?.some((other) => other.includes(path)));
  await page.fill("#filter-path", "");
  const zxid = broken.events.find((event) => event.kind === "reply" && event.zxids).zxids[0];
  const about = (event) => event.zxids && BigInt(event.zxids[0]) <= BigInt(zxid) && BigInt(zxid) <= BigInt(event.zxids[1]);
  await page.fill("#filter-zxid", zxid);
  await expect("a zxid", about);
  const [epoch, counter] = [BigInt(zxid) >> 32n, BigInt(zxid) & 0xffffffffn];
  await page.fill("#filter-zxid", `${epoch}:${counter}`);
  await expect("a zxid by epoch and counter", about);
  await page.fill("#filter-zxid", "5 apples");
  assert.equal(await page.getAttribute("#filter-zxid", "aria-invalid"), "true");
  await page.fill("#filter-zxid", "");
  await page.locator("#routine").uncheck();
  await expect("no heartbeats and pings", (event) => !/^(heartbeat|alive|heard|wakes|#-2 )/.test(event.text));
  await page.fill("#filter-path", "/no/such/path");
  await settled(page);
  assert.deepEqual((await figures(page)).shown, [0]);
  assert.match(await page.locator("#empty").textContent(), /No event passes/);
  await page.click("#empty button");
  assert.deepEqual((await figures(page)).shown, [broken.events.length]);
  assert.equal(await page.inputValue("#filter-path"), "");
  await finish(page);
});

test("what is looked for is counted, stepped through and shown alone", async () => {
  const page = await open(broken.url, "#e=1");
  await page.fill("#query", "propose committed");
  const hits = broken.events.filter((event) => `${event.text} ${event.detail ?? ""}`.toLowerCase().includes("propose") && `${event.text} ${event.detail ?? ""}`.toLowerCase().includes("committed"));
  assert.ok(hits.length > 3);
  await page.keyboard.press("Enter");
  assert.equal((await figures(page)).selected, hits[0].id);
  assert.equal(await page.locator("#hits").textContent(), `1/${hits.length.toLocaleString("en")}`);
  await press(page, "Escape", "n");
  assert.equal((await figures(page)).selected, hits[1].id);
  await press(page, "p");
  assert.equal((await figures(page)).selected, hits[0].id);
  await press(page, "o");
  assert.deepEqual((await figures(page)).shown, [hits.length]);
  await press(page, "o");
  await page.fill("#query", "/^n1 boot/");
  await settled(page);
  assert.match(await page.locator("#hits").textContent(), new RegExp(`/${broken.events.filter((event) => event.lane === "n1" && event.kind === "boot").length}$`));
  await page.fill("#query", "nothing says this");
  await settled(page);
  assert.equal(await page.locator("#hits").textContent(), "none");
  await finish(page);
});

test("the causal cone holds exactly what led to the violation", async () => {
  const page = await open(broken.url);
  const inside = new Set([broken.header.violation.event]);
  for (const event of [...broken.events].reverse()) if (inside.has(event.id)) event.causes.forEach((cause) => inside.add(cause));
  await page.click('[data-cone="causes"]');
  await settled(page);
  assert.ok(inside.size > 5 && inside.size < broken.events.length / 2, `${inside.size} events`);
  assert.deepEqual((await figures(page)).shown, [inside.size]);
  const shown = await page.evaluate(() => [...window.vivarium.layout.visible[0]].map((place) => place + 1));
  assert.deepEqual(shown, [...inside].sort((a, b) => a - b));
  await press(page, "c");
  const past = (await figures(page)).shown[0];
  assert.ok(past >= inside.size && past <= broken.events.length);
  await press(page, "c");
  assert.deepEqual((await figures(page)).shown, [broken.events.length]);
  const reply = broken.events.filter((event) => event.kind === "answer").at(-2);
  await page.evaluate((id) => { location.hash = `#e=${id}`; }, reply.id);
  await page.waitForFunction((id) => window.vivarium.figures.selected === id, reply.id);
  await page.getByRole("button", { name: "Cone of this" }).click();
  await settled(page);
  const last = await page.evaluate(() => window.vivarium.layout.visible[0].at(-1) + 1);
  assert.equal(last, reply.id, "the cone of another event ends with that");
  await finish(page);
});

test("the card tells content, states, causes and effects", async () => {
  const event = broken.events.find((event) => event.kind === "receive" && event.after && event.detail && event.id > 300);
  const page = await open(broken.url, `#e=${event.id}`);
  const card = await page.locator("#card").textContent();
  assert.ok(card.includes(event.text) && card.includes(`#${event.id}`));
  assert.ok(card.includes(`${event.lane} was`) && card.includes(`${event.lane} is`), "state before and after");
  assert.ok(await page.locator("td.changed").count() >= 2);
  assert.ok((await page.locator(".tree").textContent()).includes(event.detail.split(/[ {(]/)[0]));
  await page.locator(`#card .row[data-event="${event.causes[0]}"]`).first().click();
  assert.equal((await figures(page)).selected, event.causes[0]);
  await page.locator(`#card .row[data-event="${event.id}"]`).first().click();
  assert.equal((await figures(page)).selected, event.id);
  await finish(page);
});

test("a message that was lost says so", async () => {
  const lost = large.events.filter((event) => event.fate === "lost");
  assert.ok(lost.length > 20, `${lost.length} messages are lost`);
  const page = await open(large.url, `#e=${lost[3].id}`);
  assert.match(await page.locator("#card").textContent(), /lost on its way/);
  await finish(page);
});

test("pointing at a row tells what it is, clicking selects it", async () => {
  const page = await open(broken.url, "#e=200");
  const place = await page.evaluate(() => {
    const app = window.vivarium, box = document.getElementById("stage").getBoundingClientRect();
    return { x: box.x + 300, y: box.y + 40 + app.layout.yOfEvent(0, 201) - app.top };
  });
  await page.mouse.move(place.x, place.y);
  await settled(page);
  const tip = await page.locator("#tip").textContent();
  assert.ok(tip.includes(broken.events[201].text.slice(0, 40)) && tip.includes("#202"), tip);
  await page.mouse.click(place.x, place.y);
  assert.equal((await figures(page)).selected, 202);
  await page.mouse.move(10, 10);
  await settled(page);
  assert.equal(await page.locator("#tip").isVisible(), false);
  await finish(page);
});

test("the map at the side scrolls", async () => {
  const page = await open(broken.url);
  const box = await page.locator("#minimap").boundingBox();
  await page.mouse.click(box.x + 30, box.y + 2);
  await settled(page);
  assert.equal((await figures(page)).top, 0);
  await page.mouse.click(box.x + 30, box.y + box.height - 2);
  await settled(page);
  assert.ok((await figures(page)).top > 1000);
  await finish(page);
});

test("dark and light follow the system, until somebody chooses", async () => {
  const colour = (page) => page.evaluate(() => {
    const canvas = document.querySelector("#panes canvas");
    return [...canvas.getContext("2d").getImageData(canvas.width - 4, canvas.height - 4, 1, 1).data].slice(0, 3).reduce((sum, part) => sum + part, 0);
  });
  const dark = await browser.newContext({ colorScheme: "dark", viewport: { width: 1440, height: 900 } });
  const page = await open(broken.url, "#e=3", { context: dark });
  await settled(page);
  assert.ok(await colour(page) < 200, "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await settled(page);
  assert.ok(await colour(page) > 600, "light");
  await press(page, "d");
  assert.ok(await colour(page) < 200, "chosen");
  await page.reload();
  await page.waitForFunction(() => window.vivarium?.frames > 0);
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "and remembered");
  await finish(page);
  await dark.close();
});

test("the command to replay is copied", async () => {
  const page = await open(broken.url);
  await page.locator(".command button").first().click();
  await page.waitForFunction(() => document.querySelector(".command button").textContent === "Copied");
  await finish(page);
});

test("help tells the keys, and g goes anywhere", async () => {
  const page = await open(broken.url, "#e=1");
  await press(page, "?");
  assert.match(await page.locator("#sheet").textContent(), /causal cone.*Legend/s);
  await press(page, "Escape", "g");
  await page.fill("#goto", "77");
  await page.keyboard.press("Enter");
  assert.equal((await figures(page)).selected, 77);
  await press(page, "g");
  await page.fill("#goto", "nowhere");
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#goto", "aria-invalid"), "true");
  await page.fill("#goto", "100 ms");
  await page.keyboard.press("Enter");
  const first = broken.events.find((event) => event.at_ns >= 100e6);
  assert.equal((await figures(page)).selected, first.id);
  await finish(page);
});

test("two runs stand side by side, and where they part is shown", async () => {
  const page = await open(two.url);
  const state = await figures(page);
  assert.equal(state.events.length, 2);
  assert.equal(state.shown[0], state.events[0]);
  const found = await page.evaluate(() => {
    const app = window.vivarium;
    const [a, b] = app.runs, same = [];
    for (let p = 0; p < app.pairs.length; p += 2) same.push([app.pairs[p] - 1, app.pairs[p + 1] - 1]);
    return {
      panes: document.querySelectorAll("#panes canvas").length,
      rows: same.every(([i, j]) => app.layout.yOfEvent(0, i) === app.layout.yOfEvent(1, j)),
      words: same.every(([i, j]) => a.words(i) === b.words(j)),
      pairs: same.length,
      parts: [app.partOf(0), app.partOf(1)],
      lanes: [a.laneOf(app.partOf(0)).name, b.laneOf(app.partOf(1)).name],
      differ: a.words(app.partOf(0)) !== b.words(app.partOf(1)),
      lane: app.divergence.lane,
    };
  });
  assert.equal(found.panes, 2);
  assert.ok(found.rows && found.words, "what is the same stands in the same row");
  assert.ok(found.pairs > 100, `${found.pairs} events are the same`);
  assert.equal(state.selected, found.parts[0] + 1, "it opens where they part");
  assert.ok(found.differ);
  assert.ok(found.lanes.every((lane) => lane === found.lane), `${found.lanes} part in ${found.lane}`);
  assert.match(await page.locator("#panel").textContent(), /left:.*right:/s);
  await finish(page);
});

test("a run of 100,000 events draws no more than a short one", async () => {
  assert.ok(large.events.length >= 100_000, `${large.events.length} events`);
  const page = await open(large.url, "#e=60000");
  assert.deepEqual((await figures(page)).shown, [large.events.length]);
  const bounded = async (when) => {
    await settled(page);
    const { drawn } = await figures(page);
    assert.ok(drawn[0] > 0 && drawn[0] < DRAWN_MOST, `${when}: ${drawn[0]} things drawn`);
  };
  await bounded("at the start");
  await press(page, "j", "j", "J", "k");
  await bounded("stepping");
  for (let zoom = 0; zoom < 6; zoom++) {
    await press(page, "-");
    await bounded(`zoomed out ${zoom} times`);
  }
  await press(page, "t");
  for (let zoom = 0; zoom < 30; zoom++) {
    await press(page, "-");
    await bounded(`on the scale of time, zoomed out ${zoom} times`);
  }
  await press(page, "End");
  await bounded("at the end");
  await press(page, "t");
  await page.fill("#query", "commit");
  await bounded("with matches");
  await press(page, "Escape", "n", "c");
  await bounded("in a cone");
  await press(page, "x");
  const selected = (await figures(page)).selected;
  assert.match(large.events[selected - 1].text + large.events[selected - 1].detail, /commit/i);
  await finish(page);
});

test("a page whose data is damaged says so", async () => {
  const text = readFileSync(broken.page, "utf8");
  const place = text.indexOf('type="text/plain">') + 4000;
  const bad = join(folder, "bad.html");
  writeFileSync(bad, `${text.slice(0, place)}AAAAAAAAAAAAAAAA${text.slice(place + 16)}`);
  const page = await context.newPage();
  await page.goto(pathToFileURL(bad).href);
  await page.waitForFunction(() => document.getElementById("loading")?.textContent.includes("cannot be shown"));
  await page.close();
});
