// What is different between two positions, each with its cause.

import { h, mono, table } from "./dom.js";
import { eventLink, fillIn, nameOf, serviceLink } from "./parts.js";
import { go, here } from "./place.js";
import { ask } from "./server.js";
import { moment, whole } from "./time.js";

const SIGNS = { added: ["plus", "+", "added"], removed: ["minus", "−", "removed"], changed: ["change", "~", "changed"] };

export function compare(console_) {
  const input = (label, name, placeholder) => {
    const element = h("input", { type: name === "a" ? "search" : "text", name, placeholder, autocomplete: "off" });
    return { input: element, element: h("label", {}, label, element) };
  };
  const a = input("From", "a", "41877, 14:02:11, -15m");
  const b = input("To", "b", "the end");
  const submit = (event) => {
    event.preventDefault();
    const end = console_.about?.live ? new Date().toISOString() : console_.asof.bounds.lastTime;
    const read = (one) => (one.input.value.trim() ? moment(one.input.value, end) ?? one.input.value : undefined);
    go({ a: read(a), b: read(b) });
  };
  const swap = () => go({ a: here().values.b, b: here().values.a });
  const page = {
    toolbar: h("form", { class: "toolbar", onsubmit: submit }, a.element, b.element, h("button", { type: "submit" }, "Compare"), h("button", { type: "button", onclick: swap }, "Swap")),
  };
  page.moved = (values) => fillIn([a, b], values);
  page.load = async (values, signal) => {
    if (!values.a) {
      page.position = "";
      return h("p", { class: "empty panel" }, "Say from which position or time on, and up to which; or choose “What it changed” at an event of the timeline.");
    }
    const answer = await ask("diff", { a: values.a, b: values.b }, signal);
    page.position = answer.position;
    return [h("p", { class: "muted" }, `#${answer.from.position} (${whole(answer.from.time)}) to #${answer.to.position} (${whole(answer.to.time)})`), ...differences(answer)];
  };
  return page;
}

function sign(change) {
  const [kind, text, name] = SIGNS[change];
  return h("span", { class: kind }, text, h("span", { class: "unseen" }, ` ${name}`));
}

const arrow = (before, after) => (before === after ? String(after) : `${before ?? "-"} → ${after ?? "-"}`);

function because(cause) {
  return cause ? [eventLink(cause.position, cause.stream), " ", cause.type, h("span", { class: "sub" }, cause.summary)] : "-";
}

function differences(answer) {
  const kinds = [
    ["Addresses", "addresses", ["Address", "Service", "Eip"], (one) => {
      const told = one.after ?? one.before;
      return [mono(one.address), serviceLink(told.service), told.pool];
    }],
    ["Refusals", "refusals", ["Service", "Reason"], (one) => [nameOf(one.service), arrow(one.before?.reason, one.after?.reason)]],
    ["Pools", "pools", ["Eip", "Used", "Free", "Size"], (one) => [one.pool, ...["used", "available", "size"].map((name) => arrow(one.before?.[name], one.after?.[name]))]],
    ["Routes", "routes", ["Prefix", "Next hop", "Peer", "Speaker", "State"], (one) =>
      [mono(one.prefix), mono(arrow(one.before?.nextHop, one.after?.nextHop)), one.peer, one.speaker, arrow(one.before?.state, one.after?.state)]],
    ["Sessions", "sessions", ["Peer", "Speaker", "State", "Flaps"], (one) => [one.peer, one.speaker, arrow(one.before?.state, one.after?.state), String(one.after?.flaps ?? 0)]],
  ];
  const told = kinds.filter(([, name]) => answer[name].length).map(([title, name, columns, cells]) =>
    h("section", { class: "panel" }, h("h2", {}, `${title} (${answer[name].length})`),
      table(title, [[""], ...columns.map((one) => [one]), ["Cause"]], answer[name].slice(0, 500).map((one) => ({ cells: [sign(one.change), ...cells(one), because(one.cause)] })), ""),
      answer[name].length > 500 ? h("p", { class: "empty" }, `${answer[name].length - 500} more are left out; choose moments that lie closer together.`) : ""));
  return told.length ? [h("div", { class: "stack" }, told)] : [h("p", { class: "empty panel" }, "Nothing is different.")];
}
