// Services: what each holds, or why it holds nothing.

import { h, mono, table, tag } from "./dom.js";
import { aside, chain, choice, eventLink, facts, field, fillIn, link, nameOf, pager, section, small, when } from "./parts.js";
import { go, to } from "./place.js";
import { ask } from "./server.js";

const ROWS = 100;

export function services() {
  const search = field("Search", "q", { type: "search", kind: "wide", placeholder: "part of a name, or an address" });
  const show = choice("Show", "show", [["", "all"], ["served", "with an address"], ["waiting", "without an address"], ["degraded", "degraded"]]);
  const page = { toolbar: h("div", { class: "toolbar", role: "search" }, search.element, show.element) };
  page.moved = (values) => fillIn([search, show], values);
  page.load = async (values, signal) => {
    const { at, q, offset, service } = values;
    const [answer, told] = await Promise.all([
      ask("services", { at, q, show: values.show, offset, limit: ROWS }, signal),
      service ? explained({ service, at }, signal) : undefined,
    ]);
    page.position = answer.position;
    page.said = `${answer.matching} Services`;
    return h("div", { class: told ? "split open" : "split" },
      h("div", { class: "panel" }, rows(answer, service), pager(answer, answer.services.length, ROWS)), told ?? "");
  };
  return page;
}

async function explained(query, signal) {
  try {
    return detail(await ask("explain", query, signal), query.service);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return aside(query.service, "service", section("", h("p", { role: "alert" }, error.message)));
  }
}

function state(one) {
  if (one.refusal) return tag("bad", one.refusal.reason);
  if (one.degraded) return tag("warn", "Degraded");
  return one.allocations.length ? tag("good", one.allocations[0].reason) : tag("warn", "undecided");
}

function rows({ services: found }, chosen) {
  const columns = [["Service"], ["State", "nowrap"], ["Addresses"], ["Eip"], ["Ports", "spare"], ["Policy", "spare"], ["Since", "nowrap spare"], ["Event"]];
  return table("Services", columns, found.map((one) => {
    const name = nameOf(one.service);
    const first = one.allocations[0];
    const told = one.refusal?.message ?? one.degraded;
    return {
      chosen: name === chosen, pick: () => go({ service: name }),
      cells: [
        link(to("/services", { ...keptValues(), service: name }), name, { key: `row ${name}`, "data-row": "", "aria-current": name === chosen ? "true" : undefined }),
        state(one),
        [one.allocations.map((each) => h("div", { class: "mono" }, each.address)), told ? h("span", { class: "sub clamp", title: told }, told) : ""],
        [...new Set(one.allocations.map((each) => each.pool))].join(", ") || one.requested.pool || "-",
        mono(one.ports.map((each) => `${each.port}/${each.protocol}`).join(" ")),
        one.trafficPolicy,
        first ? when(first.since) : "-",
        eventLink(first ? first.position : one.position),
      ],
    };
  }), "No Service of Porter's is like that.");
}

function keptValues() {
  const { q, show, offset } = Object.fromEntries(new URLSearchParams(location.search));
  return { q, show, offset };
}

function candidates(found) {
  if (!found?.length) return "";
  return section("Passed over", small(["Eip", "Reason", "Why"], found.map((one) => [one.pool, one.reason, one.message])));
}

export function routeParts(route) {
  return [
    route.nextHops.length ? section("Next hops", small(["Address", "Node", "Path id", "Since", "By"], route.nextHops.map((hop) =>
      [mono(hop.address), hop.node, mono(String(hop.pathId)), hop.since ? when(hop.since) : "-", hop.cause ? eventLink(hop.cause) : "-"]))) : "",
    route.sessions.length ? section("Sessions", small(["Peer", "Speaker", "Prefix", "Paths", "Confirmed"], route.sessions.map((one) =>
      [one.peer, one.speaker, mono(one.prefix), String(one.paths), tag(one.confirmed === one.paths ? "good" : "warn", `${one.confirmed} of ${one.paths}`)]))) : "",
  ];
}

export function detail(answer, name) {
  const { service, address } = answer;
  const told = service ?? address;
  return aside(name, service ? "service" : "prefix",
    section("", answer.summary.map((text) => h("p", {}, text)),
      h("div", { class: "links" }, service
        ? [link(to("/timeline", { service: name }), "Timeline"), link(to("/rib", { q: name }), "Routes")]
        : link(to("/timeline", { ip: answer.asked }), "Timeline"))),
    service ? section("Asks for", facts([
      ["Families", `${service.requested.families.join(" and ")} (${service.requested.familyPolicy})`],
      ["Addresses", service.requested.addresses.join(", ")], ["Eip", service.requested.pool], ["Sharing key", service.requested.sharingKey],
      ["Policy", service.trafficPolicy], ["resourceVersion", service.resourceVersion]])) : "",
    service?.refusal ? [section(`Refused: ${service.refusal.reason}`, chain(service.refusal.causes)), candidates(service.refusal.candidates)] : "",
    told.holdings.map((one) => [
      section(`Why ${one.allocation.address}`, chain(one.causes)), candidates(one.candidates), ...routeParts(one.route),
      one.route.cause ? section("Route's last cause", eventLink(one.route.cause)) : ""]),
    service?.causes.length ? section("Its last change", chain(service.causes)) : "",
    service?.conditions.length ? section("Conditions", small(["Type", "Status", "Message"], service.conditions.map((one) => [one.type, one.status, one.message]))) : "");
}
