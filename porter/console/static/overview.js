// The cluster at a glance: what is wrong, the sessions, the pools.

import { h, table } from "./dom.js";
import { eventLink, link, sessionTag } from "./parts.js";
import { to } from "./place.js";
import { ask } from "./server.js";
import { whole } from "./time.js";

const figure = (name, value, more) => h("div", {}, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, more) : ""));

export function overview() {
  const page = {};
  page.load = async (values, signal) => {
    const status = await ask("status", { at: values.at }, signal);
    page.position = status.position;
    page.said = `${status.problems.length} problems at position ${status.position}`;
    return [figures(status), h("div", { class: "columns" },
      h("div", { class: "stack" }, problems(status), operated(status)), h("div", { class: "stack" }, sessions(status), pools(status)))];
  };
  return page;
}

function figures({ services, routes, pools, leader, position, time, synced, recovering }) {
  const used = pools.reduce((sum, pool) => sum + pool.used, 0);
  const size = pools.reduce((sum, pool) => sum + pool.size, 0);
  return h("dl", { class: "figures" },
    figure("Services served", `${services.served} of ${services.total}`, services.waiting ? `${services.waiting} without an address` : "none waits"),
    figure("Routes confirmed", `${routes.confirmed} of ${routes.total}`, `${routes.sent} sent, ${routes.desired} only desired`),
    figure("Addresses in use", String(used), `of ${size} in ${pools.length} ${pools.length === 1 ? "pool" : "pools"}`),
    figure("Leader", leader.holder || "nobody", ["epoch ", String(leader.epoch), " since ", eventLink(leader.since)]),
    figure("Journal", `#${position}`, `${recovering ? "recovering, " : synced ? "" : "not synced yet, "}${whole(time)}`));
}

function problems({ problems: found }) {
  return h("section", { class: "panel" }, h("h2", {}, found.length ? `${found.length} ${found.length === 1 ? "thing is" : "things are"} not as they should be` : "Everything is as it should be"),
    found.length ? h("ul", { class: "problems" }, found.map((text) => h("li", {}, text)))
      : h("div", { class: "calm" }, "Every session that is wanted is up, and every Service has its addresses."));
}

function operated({ drained, drainedNodes, drainedServices, holds }) {
  const rows = [
    ...drained.map((one) => ["Speaker drained", one.speaker, one.why, one.position]),
    ...drainedNodes.map((one) => ["Node drained", one.node, one.why, one.position]),
    ...drainedServices.map((one) => ["Service drained", one.service, one.why, one.position]),
    ...holds.map((one) => ["Withdrawals held", `${one.held} prefixes, hold ${one.hold}`, `${one.cause}, until ${whole(one.until)}`, one.position]),
  ];
  if (!rows.length) return "";
  return h("section", { class: "panel" }, h("h2", {}, "Drained and held"),
    table("Drained and held", [["What"], ["Which"], ["Why"], ["Since"]], rows.map(([...cells]) => ({ cells: [...cells.slice(0, 3), eventLink(cells[3])] })), ""));
}

function sessions({ peers }) {
  const speakers = [...new Set(peers.flatMap((peer) => peer.sessions.map((one) => one.speaker)))].sort();
  const cell = (peer, speaker) => {
    const one = peer.sessions.find((each) => each.speaker === speaker);
    if (!one) return h("span", { class: "muted" }, "-");
    return [sessionTag(one.state),
      h("span", { class: "sub" }, one.state === "Established" ? `${one.confirmed} routes` : one.reason || "no reason was told", one.flaps ? `, ${one.flaps} ${one.flaps === 1 ? "flap" : "flaps"}` : ""),
      h("span", { class: "sub mono" }, one.since ? whole(one.since) : "")];
  };
  const rows = peers.map((peer) => ({
    cells: [
      [link(to("/timeline", { peer: peer.peer }), peer.peer), h("span", { class: "sub mono" }, `${peer.address} AS ${peer.peerAs}`), peer.refused ? h("span", { class: "sub" }, peer.refused) : ""],
      ...speakers.map((speaker) => cell(peer, speaker)),
    ],
  }));
  return h("section", { class: "panel" }, h("h2", {}, "Sessions"),
    table("Sessions of each peer with each speaker", [["Peer"], ...speakers.map((one) => [one])], rows, "There is no BgpPeer: routes go to nobody."));
}

function pools({ pools: found }) {
  const share = (part, pool) => (pool.size ? Math.max(part ? 1 : 0, (100 * part) / pool.size) : 0);
  const bar = (pool) => {
    const inside = Math.max(0, pool.size - pool.available - pool.reserved - pool.cooling);
    const pieces = [["used", inside], ["kept", pool.reserved], ["cooling", pool.cooling]].map(([kind, part]) => {
      const piece = h("span", { class: kind });
      piece.style.width = `${share(part, pool)}%`;
      return piece;
    });
    return h("div", { class: pool.size && !pool.available ? "meter full" : "meter", role: "img", "aria-label": `${pool.used} of ${pool.size} in use, ${pool.reserved} reserved, ${pool.cooling} cooling down` }, pieces);
  };
  // What is in use and no part of the pool any more is told apart.
  const used = (pool) => {
    const inside = Math.max(0, pool.size - pool.available - pool.reserved - pool.cooling);
    return pool.used > inside ? [String(inside), h("span", { class: "sub" }, `+${pool.used - inside} outside`)] : String(pool.used);
  };
  const rows = found.map((pool) => ({
    cells: [
      [pool.name, pool.default ? h("span", { class: "sub" }, "default") : "", pool.disabled ? h("span", { class: "sub" }, "disabled") : "",
        pool.unusable ? h("span", { class: "sub" }, "cannot be used") : ""],
      pool.ranges.map((one) => h("div", { class: "mono nowrap" }, one)), bar(pool), used(pool), String(pool.available), String(pool.size), eventLink(pool.position),
    ],
  }));
  return h("section", { class: "panel" }, h("h2", {}, "Pools"),
    table("Pools", [["Eip"], ["Ranges"], ["Use"], ["Used", "number"], ["Free", "number"], ["Size", "number"], ["Changed"]], rows, "There is no Eip: no address can be given."));
}
