// Routes by address: next hops, and what each session made of them.

import { h, mono, problem, table, tag } from "./dom.js";
import { aside, choice, eventLink, field, fillIn, link, pager, section, serviceLink, small, when } from "./parts.js";
import { go, to } from "./place.js";
import { ask } from "./server.js";
import { detail, routeParts } from "./services.js";

const ROWS = 100;
const HOPS = 4;
const ADDRESS = /^[0-9a-f:.]+$/i;

export function rib() {
  const search = field("Search", "q", { type: "search", kind: "wide", placeholder: "address, prefix, or part of a Service's name" });
  const show = choice("Show", "show", [["", "all"], ["routed", "with a route"], ["absent", "without a route"], ["held", "held"]]);
  const page = { toolbar: h("div", { class: "toolbar", role: "search" }, search.element, show.element) };
  page.moved = (values) => fillIn([search, show], values);
  page.load = async (values, signal) => {
    const { at, q, offset, prefix } = values;
    const [answer, told] = await Promise.all([
      ask("rib", { at, q, show: values.show, offset, limit: ROWS }, signal),
      prefix ? paths(prefix, at, signal) : undefined,
    ]);
    page.position = answer.position;
    page.said = `${answer.matching} addresses at position ${answer.position}`;
    // An address that nobody holds: what it is.
    const lone = !answer.matching && !told && q && ADDRESS.test(q) && /[.:]/.test(q) ? await whose(q, at, signal) : undefined;
    const open = told ?? lone;
    return h("div", { class: open ? "split open" : "split" },
      h("div", { class: "panel" }, rows(answer, prefix), pager(answer, answer.addresses.length, ROWS)), open ?? "");
  };
  return page;
}

async function whose(ip, at, signal) {
  try {
    return detail(await ask("explain", { ip, at }, signal), ip);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return "";
  }
}

async function paths(prefix, at, signal) {
  const [{ routes }, { addresses }] = await Promise.all([ask("routes", { prefix, at }, signal), ask("rib", { q: prefix, at, limit: 1 }, signal)]);
  const row = addresses[0];
  if (!row) return aside(prefix, "prefix", section("", problem("Nobody holds this address at this position.")));
  const sessions = Map.groupBy?.(routes, (one) => `${one.peer} from ${one.speaker}`) ?? grouped(routes);
  return aside(prefix, "prefix",
    section("", h("p", {}, row.route.message), h("div", { class: "links" },
      row.services.map((one) => serviceLink(one)), link(to("/timeline", { ip: row.address }), "Timeline"))),
    ...routeParts({ ...row.route, sessions: [] }),
    section("Last cause", eventLink(row.route.cause)),
    [...sessions].map(([name, found]) => section(`Adj-RIB-Out to ${name}`,
      small(["Prefix", "Next hop", "State", "Attributes"], found.map((one) => [mono(one.prefix), mono(one.nextHop), became(one.state), attributes(one.attributes)])))));
}

function grouped(routes) {
  const found = new Map();
  for (const one of routes) {
    const name = `${one.peer} from ${one.speaker}`;
    found.set(name, [...(found.get(name) ?? []), one]);
  }
  return found;
}

const became = (state) => tag(state === "confirmed" ? "good" : "warn", state);

function attributes(values) {
  const told = Object.entries(values).filter(([, value]) => value !== null && value !== 0 && !(Array.isArray(value) && !value.length));
  return told.length ? told.map(([name, value]) => h("div", {}, `${name} `, mono(Array.isArray(value) ? value.join(" ") : String(value)))) : h("span", { class: "muted" }, "none");
}

function state({ state: kind, reason, sessions }) {
  if (kind === "notByBgp") return tag("", "not by BGP");
  if (kind !== "announced") return tag("bad", reason || "absent");
  const confirmed = sessions.filter((one) => one.confirmed === one.paths).length;
  const told = `${confirmed} of ${sessions.length} confirmed`;
  return tag(!reason && confirmed === sessions.length ? "good" : "warn", reason ? `${reason}, ${told}` : told);
}

function hops(found) {
  if (!found.length) return h("span", { class: "muted" }, "none");
  const shown = found.slice(0, HOPS).map((one, number) => [number ? ", " : "", h("span", { class: "mono nowrap", title: one.node }, one.address)]);
  return found.length > HOPS ? [shown, ` and ${found.length - HOPS} more`] : shown;
}

function rows({ addresses }, chosen) {
  const columns = [["Prefix", "nowrap"], ["Service"], ["Next hops"], ["State", "nowrap"], ["Eip", "spare"], ["Since", "nowrap spare"], ["Cause"]];
  return table("Routes", columns, addresses.map(({ pool, services, route }) => {
    return {
      chosen: route.prefix === chosen, pick: () => go({ prefix: route.prefix }),
      cells: [
        link(to("/rib", { ...Object.fromEntries(new URLSearchParams(location.search)), prefix: route.prefix }), mono(route.prefix), { key: `row ${route.prefix}`, "data-row": "", "aria-current": route.prefix === chosen ? "true" : undefined }),
        services.map((one) => h("div", {}, serviceLink(one))),
        hops(route.nextHops), state(route),
        pool, when(route.since), eventLink(route.cause),
      ],
    };
  }), "No address in use is like that at this position.");
}
