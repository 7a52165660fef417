// Wires the pages: the address says which one, the server's news say when to ask again.

import { AsOf } from "./asof.js";
import { announce, h, problem, redraw } from "./dom.js";
import { shortcuts } from "./keys.js";
import { compare } from "./compare.js";
import { journal } from "./journal.js";
import { overview } from "./overview.js";
import { go, here, onmove, to } from "./place.js";
import { rib } from "./rib.js";
import { ask, listen } from "./server.js";
import { services } from "./services.js";
import { themeButton } from "./settings.js";
import { timeline } from "./timeline.js";
import { zoneButton } from "./time.js";

const PAGES = [
  ["/", "Overview", overview],
  ["/services", "Services", services],
  ["/rib", "RIB", rib],
  ["/timeline", "Timeline", timeline],
  ["/compare", "Compare", compare],
  ["/journal", "Journal", journal],
];
const PATIENCE_S = 3;
const AGAIN_LEAST_MS = 200;
const AGAIN_MOST_MS = 10_000;

const element = (id) => document.getElementById(id);
const main = element("main");
const console_ = { about: undefined, asof: undefined };

let page;
let region;
let asked;
let running = false;
let wanted = false;
let timer;
let cost = 0;

function open(path) {
  const known = PAGES.find(([each]) => each === path) ?? PAGES[0];
  redraw(element("nav"), PAGES.map(([each, name], number) =>
    h("a", { href: to(each), "aria-current": each === known[0] ? "page" : undefined, key: each, title: `${name} (${number + 1})` }, name)));
  if (page?.path === known[0]) return;
  page = Object.assign(known[2](console_), { path: known[0], name: known[1] });
  region = h("div", { id: "region" });
  redraw(main, h("div", { class: "head" }, h("h1", {}, known[1]), page.toolbar ?? ""), region);
  redraw(region, h("p", { class: "empty" }, "Reading…"));
}

async function load(moved) {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const { values } = here();
  const begun = performance.now();
  running = true;
  wanted = false;
  document.title = `${page.name} ${values.at ? `at #${values.at} ` : ""}· ${console_.about?.cluster ?? ""} · Porter`;
  region.classList.toggle("loading", moved);
  const patience = moved ? setInterval(() => waitingFor(performance.now() - begun), 1000) : undefined;
  try {
    const children = await page.load(values, signal);
    if (signal.aborted) return;
    redraw(region, children);
    region.dataset.position = page.position ?? "";
    if (moved && page.said) announce(page.said);
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    redraw(region, refused(error, values));
  } finally {
    clearInterval(patience);
  }
  region.classList.remove("loading");
  running = false;
  cost = performance.now() - begun;
  if (wanted) again();
}

// Of a huge cluster two moments are folded anew, which takes its time.
function waitingFor(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds >= PATIENCE_S) redraw(region, h("p", { class: "empty panel" }, `Reading… ${seconds} s; what takes more than a minute is given up.`));
}

function refused(error, values) {
  const act = (text, action) => h("button", { type: "button", onclick: action, key: text }, text);
  const back = values.at !== undefined ? act(console_.about?.live ? "Show the present" : "Show the end of the file", () => go({ at: undefined })) : "";
  if (!("status" in error)) console.error(error);
  return problem(error.message, act("Try again", () => load(true)), " ", back);
}

// What is asked again costs the server time: the dearer an answer is, the rarer it is asked for.
function again() {
  wanted = true;
  if (running) return;
  clearTimeout(timer);
  timer = setTimeout(() => load(false), Math.min(Math.max(cost * 3, AGAIN_LEAST_MS), AGAIN_MOST_MS));
}

function moved() {
  clearTimeout(timer);
  open(here().path);
  page.moved?.(here().values);
  console_.asof?.load();
  load(true);
}

function told(head) {
  redraw(element("banner"), head.problem ? `${head.problem}. What is shown is the last that was read.` : "");
  const before = console_.asof.bounds.last;
  console_.asof.head(head);
  const back = console_.lost || console_.problem;
  console_.lost = false;
  console_.problem = head.problem;
  if (page.follows || !here().values.at || before === 0 || back) again();
}

async function begin() {
  themeButton(element("theme"));
  zoneButton(element("zone"), () => { console_.asof?.draw(); page && load(false); });
  onmove(moved);
  open(here().path);
  while (!console_.about) {
    try {
      console_.about = await ask("about");
    } catch (error) {
      redraw(region, problem(error.message, h("div", { class: "muted" }, "It is tried again every two seconds.")));
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  const { cluster, source, live, redacted } = console_.about;
  redraw(element("source"), `${cluster} · ${live ? "" : "file "}${source}${redacted ? " (redacted)" : ""}`);
  element("source").title = element("source").textContent;
  console_.asof = new AsOf(element("asof"), live);
  shortcuts(element("keys"), element("help"), PAGES, console_.asof);
  if (live) {
    listen(told, () => {
      console_.lost = true;
      redraw(element("banner"), "The console does not answer; it is asked again every few seconds. What is shown is the last that it told.");
    });
  }
  moved();
}

begin();
