// What several pages are made of.

import { h, mono, tag } from "./dom.js";
import { go, to } from "./place.js";
import { clock, seconds, whole } from "./time.js";

export const LANES = { kube: "Kubernetes API", allocator: "Allocator", leader: "Leadership", operator: "Operators", bgp: "BGP" };

export const SESSION = { Established: "good", OpenSent: "warn", OpenConfirm: "warn", Connect: "warn", Active: "warn" };
export const sessionTag = (state) => tag(SESSION[state] ?? "bad", state || "unknown");

export const nameOf = (service) => `${service.namespace}/${service.name}`;

export const link = (href, text, more = {}) => h("a", { href, ...more }, text);

// An event of the journal, as a link to it in the journal.
export const eventLink = (position, stream = "") =>
  position ? link(to("/timeline", { event: stream ? `${stream}/${position}` : position }), mono(stream ? `${stream}/${position}` : `#${position}`)) : "-";

export const when = (time) => h("span", { class: "mono nowrap", title: whole(time) }, seconds(time));
export const exactly = (time) => h("span", { class: "mono nowrap" }, whole(time));
export const clockOf = (time) => h("span", { class: "mono nowrap", title: whole(time) }, clock(time));

export const serviceLink = (service, text = nameOf(service)) => link(to("/services", { service: nameOf(service) }), text);

// A field that changes the address a moment after the last key.
export function field(label, name, { type = "text", kind, placeholder, list } = {}) {
  let waiting;
  const input = h("input", {
    type, name, placeholder, autocomplete: "off", spellcheck: "false", list,
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => go({ [name]: input.value.trim(), offset: undefined, before: undefined, after: undefined }, { replace: true }), 250);
    },
  });
  return { input, element: h("label", { class: kind }, label, input) };
}

export function choice(label, name, options) {
  const select = h("select", { name, onchange: () => go({ [name]: select.value, offset: undefined }) },
    options.map(([value, text]) => h("option", { value }, text)));
  return { input: select, element: h("label", {}, label, select) };
}

// Show in the fields what the address says, but never in the one that is being written in.
export function fillIn(fields, values) {
  for (const { input } of fields) {
    if (document.activeElement !== input) input.value = values[input.name] ?? "";
  }
}

export function pager(answer, shown, limit) {
  const { offset, matching, total } = answer;
  const move = (text, target, off) => h("button", { type: "button", disabled: off, key: `page-${text}`, onclick: () => go({ offset: target || undefined }) }, text);
  const last = matching ? Math.floor((matching - 1) / limit) * limit : 0;
  return h("div", { class: "pager" },
    move("First", 0, offset === 0), move("Previous", Math.max(0, offset - limit), offset === 0),
    move("Next", offset + limit, offset + limit >= matching), move("Last", last, offset >= last),
    h("span", { class: "end" }, shown ? `${offset + 1} to ${offset + shown} of ${matching}` : "none", matching === total ? "" : ` (${total} in all)`));
}

// What is open beside the rows; `parameter` of the address opened it.
export function aside(title, parameter, ...sections) {
  return h("aside", { class: "panel", "aria-label": title, "data-scroll": `aside ${title}` },
    h("div", { class: "title" }, h("h2", {}, title),
      h("button", { type: "button", key: "close", onclick: () => go({ [parameter]: undefined }), title: "Close (Esc)" }, "Close")),
    sections.flat());
}

export const section = (title, ...children) => h("section", {}, title ? h("h3", {}, title) : "", children);

export function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== "" && value !== undefined).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function chain(causes) {
  return h("ol", { class: "chain", "aria-label": "Cause chain, the newest first" }, causes.map((one) =>
    h("li", {}, eventLink(one.position, one.stream ?? ""), " ", h("b", {}, one.type), " ", one.aggregate,
      one.summary ? h("span", { class: "sub" }, one.summary) : "",
      h("span", { class: "sub mono" }, whole(one.time), one.resourceVersion ? ` · resourceVersion ${one.resourceVersion}` : ""))));
}

export function small(columns, rows) {
  return h("div", { class: "scroll", "data-scroll": columns.join() }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}
