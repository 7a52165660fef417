// The journal, event by event, as it was appended.

import { h, table } from "./dom.js";
import { eventDetail } from "./event.js";
import { eventLink, exactly, field, fillIn } from "./parts.js";
import { go, here } from "./place.js";
import { ask, positionOf } from "./server.js";

const ROWS = 100;
const QUIET = new Set(["resourceVersion", "uid", "state", "createdMs", "generation", "name", "namespace"]);

export function journal(console_) {
  const kind = field("Type", "type", { type: "search", placeholder: "Address*" });
  const about = field("About", "aggregate", { placeholder: "service/shop/web", kind: "wide" });
  const from = field("Behind position", "after", { placeholder: "41877" });
  const page = { toolbar: h("div", { class: "toolbar", role: "search" }, kind.element, about.element, from.element) };
  page.moved = (values) => fillIn([kind, about, from], values);
  page.load = async (values, signal) => {
    const { type, aggregate, after, event } = values;
    // What lies behind the moment that is looked at had not happened then.
    const before = values.before ?? (values.at && after === undefined ? (await positionOf(values.at, signal)) + 1 : undefined);
    const [answer, told] = await Promise.all([
      ask("events", { type, aggregate, after, before, limit: ROWS }, signal),
      event ? eventDetail(event, console_.about, signal) : undefined,
    ]);
    page.position = answer.position;
    page.said = `${answer.events.length} events`;
    return h("div", { class: told ? "split open" : "split" },
      h("div", { class: "panel" }, rows(answer, event), pages(answer)), told ?? "");
  };
  return page;
}

function short(payload) {
  const told = Object.entries(payload).filter(([name, value]) =>
    !QUIET.has(name) && value !== "" && value !== 0 && value !== null && value !== false && !(typeof value === "object" && !Object.keys(value).length));
  return told.map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ");
}

function rows({ events }, chosen) {
  const columns = [["Position", "nowrap"], ["Time", "nowrap"], ["Type", "nowrap"], ["About", "nowrap"], ["Cause", "nowrap"], ["Content", "cut mono spare"]];
  return table("Events", columns, [...events].reverse().map((one) => ({
    chosen: String(one.position) === chosen, pick: () => go({ event: one.position }),
    cells: [
      h("a", { href: address(one.position), class: "mono", key: `row ${one.position}`, "data-row": "", "aria-current": String(one.position) === chosen ? "true" : undefined }, `#${one.position}`),
      exactly(one.time), one.type, one.aggregate, eventLink(one.cause), short(one.payload),
    ],
  })), "No event is like that here.");
}

function address(position) {
  const { path, values } = here();
  return `${path}?${new URLSearchParams({ ...values, event: position })}`;
}

function pages({ first, last, kept, position, events }) {
  const move = (text, changes, off) => h("button", { type: "button", disabled: off, key: `page-${text}`, onclick: () => go({ before: undefined, after: undefined, ...changes }) }, text);
  return h("div", { class: "pager" },
    move("Newest", {}, last >= position), move("Newer", { after: last }, last >= position),
    move("Older", { before: first }, first <= kept), move("Oldest", { after: Math.max(0, kept - 1) || "0" }, first <= kept),
    h("span", { class: "end" }, `${events.length} events; looked at #${first} to #${last} of #${kept} to #${position}`));
}
