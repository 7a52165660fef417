// One history of the API, the allocator, leadership and every speaker, in lanes and as a list.

import { h, table, tag } from "./dom.js";
import { eventDetail } from "./event.js";
import { lanes, nameOfEntry } from "./lanes.js";
import { LANES, clockOf, eventLink, field, fillIn } from "./parts.js";
import { go, here } from "./place.js";
import { ask, positionOf } from "./server.js";
import { moment, span } from "./time.js";

const ENTRIES = 400;
const BEFORE = 2000;
const AFTER = 500;

export function timeline(console_) {
  const service = field("Service", "service", { type: "search", placeholder: "namespace/name" });
  const ip = field("Address", "ip", { placeholder: "192.0.2.1" });
  const peer = field("Peer", "peer", { placeholder: "BgpPeer" });
  const between = ["since", "until"].map((name) => {
    const input = h("input", { type: "text", name, autocomplete: "off", placeholder: name === "since" ? "14:02, #41877, -15m" : "the end" });
    return { input, element: h("label", {}, name === "since" ? "Since" : "Until", input) };
  });
  const submit = (event) => {
    event.preventDefault();
    const end = console_.about?.live ? new Date().toISOString() : console_.asof.bounds.lastTime;
    const read = ({ input }) => (input.value.trim() ? moment(input.value, end) ?? input.value : undefined);
    go({ since: read(between[0]), until: read(between[1]) });
  };
  const all = h("button", { type: "button", onclick: () => go({ since: undefined, until: undefined, service: undefined, ip: undefined, peer: undefined }) }, "Show all");
  const page = {
    follows: false,
    toolbar: h("form", { class: "toolbar", onsubmit: submit }, service.element, ip.element, peer.element, between.map((one) => one.element), h("button", { type: "submit" }, "Apply"), all),
  };
  page.moved = (values) => {
    fillIn([service, ip, peer, ...between], values);
    page.follows = !values.until && !values.at;
  };
  page.load = async (values, signal) => {
    const { event, at } = values;
    const shown = await positionOf(at, signal);
    const { since, until } = values.since || values.until ? values : await around(at, signal);
    const [answer, told] = await Promise.all([
      ask("timeline", { service: values.service, ip: values.ip, peer: values.peer, since, until, limit: ENTRIES }, signal),
      event ? eventDetail(event, console_.about, signal) : undefined,
    ]);
    page.position = answer.position;
    page.said = `${answer.entries.length} events`;
    const chart = lanes(answer.entries, { chosen: event, at: shown, pick: (name) => go({ event: name }), brush: (from, to) => go({ since: from, until: to }) });
    const left = answer.left ? h("p", { class: "muted" }, `${answer.left} older events of this stretch are left out: say since and until.`) : answer.first > 1 && !values.since ? h("p", { class: "muted" }, `From #${answer.first} on; since goes further back.`) : "";
    return [
      answer.entries.length ? h("section", { class: "panel lanes-panel", "aria-label": "Lanes" }, chart) : "", left,
      h("div", { class: told ? "split open" : "split" }, h("div", { class: "panel" }, rows(answer.entries, event)), told ?? ""),
    ];
  };
  return page;
}

// The stretch that is shown unasked: the newest events, or those around the moment that is looked at.
async function around(at, signal) {
  const { first, last, position } = await ask("moment", { at }, signal);
  const until = at === undefined ? last : Math.min(last, position + AFTER);
  const since = until - BEFORE;
  return { since: since > first ? since : undefined, until: until < last ? until : undefined };
}

function rows(entries, chosen) {
  const columns = [["Event", "nowrap"], ["Time", "nowrap"], ["Type", "nowrap"], ["About", "nowrap spare"], ["What"], ["Cause", "nowrap"]];
  return table("Events", columns, [...entries].reverse().map((one) => {
    const name = nameOfEntry(one);
    return {
      chosen: name === chosen, pick: () => go({ event: name }),
      cells: [
        h("a", { href: address(name), class: "mono", key: `row ${name}`, "data-row": "", "aria-current": name === chosen ? "true" : undefined }, one.stream ? name : `#${name}`),
        clockOf(one.time), typeOf(one), one.aggregate, one.summary,
        one.cause || one.realises ? [one.cause ? "" : h("span", { class: "sub" }, "realises "), eventLink(one.cause || one.realises), one.afterMs === null ? "" : h("span", { class: "sub" }, `${span(one.afterMs)} later`)] : "-",
      ],
    };
  }), "Nothing happened that is like that.");
}

// The colour is the lane; who does not see it reads its name.
function typeOf(one) {
  const mark = tag(one.lane, one.type);
  mark.title = one.stream ? "BGP" : LANES[one.lane];
  mark.append(h("span", { class: "unseen" }, `, ${mark.title}`));
  return mark;
}

function address(name) {
  const { path, values } = here();
  return `${path}?${new URLSearchParams({ ...values, event: name })}`;
}
