// One event whole: what it says, what led to it, and where to go from there.

import { h, mono, tag } from "./dom.js";
import { LANES, aside, chain, facts, link, section } from "./parts.js";
import { address, here } from "./place.js";
import { ask } from "./server.js";
import { whole } from "./time.js";

// `which` is a position of the journal, or SPEAKER/POSITION of a speaker's stream.
export async function eventDetail(which, about, signal) {
  const cut = which.lastIndexOf("/");
  const [stream, position] = cut < 0 ? ["", which] : [which.slice(0, cut), which.slice(cut + 1)];
  let answer;
  try {
    answer = await ask("causes", { stream, position }, signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return aside(which, "event", section("", h("p", { role: "alert" }, error.message)));
  }
  const one = answer.causes[0];
  // An outcome stands for the position that it realises.
  const then = stream ? one.realises : one.position;
  return aside(`${stream ? `${stream}/` : "#"}${one.position} ${one.type}`, "event",
    section("", h("p", {}, one.summary), facts([
      ["About", one.aggregate], ["Time", h("span", { class: "mono" }, whole(one.time))], ["Lane", tag(one.lane, stream ? `BGP, ${stream}` : LANES[one.lane])],
      ["Epoch", String(one.epoch)], ["Trace", one.trace ? trace(one.trace, about) : ""]])),
    then ? section("The cluster then", h("div", { class: "links" },
      link(address("/", { at: then }), `Overview at #${then}`), link(address("/services", { at: then }), "Services"), link(address("/rib", { at: then }), "RIB"),
      then > 1 ? link(address("/compare", { a: then - 1, b: then }), "What it changed") : "",
      here().path === "/timeline" ? link(address("/journal", { event: then }), "In the journal") : link(address("/timeline", { event: which }), "In the timeline"))) : "",
    section("Cause chain", chain(answer.causes)),
    section("Content", h("pre", { tabindex: "0", "aria-label": "The event as JSON" }, JSON.stringify(one.payload, null, 2))));
}

function trace(id, about) {
  if (!about?.traceUrl) return mono(id);
  return h("a", { href: about.traceUrl.replace("{trace}", id), rel: "noreferrer noopener", target: "_blank", class: "mono" }, id);
}
