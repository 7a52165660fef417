// The lanes as a drawing: time from left to right, with idle stretches drawn together; a stretch is chosen by dragging.

import { s } from "./dom.js";
import { LANES } from "./parts.js";
import { clock, span } from "./time.js";

const WIDTH = 1200;
const LEFT = 150;
const LANE = 24;
const TOP = 8;
const AXIS = 26;
// A gap is drawn by the logarithm of its length: a second is seen beside a night.
const UNIT_MS = 50;
const IDLE_MS = 10_000;
const LANES_MAX = 16;

export const nameOfEntry = (one) => (one.stream ? `${one.stream}/${one.position}` : String(one.position));

// Where each entry is drawn, and the stretches that are drawn together: [x, ms].
function scale(entries) {
  const times = entries.map((one) => new Date(one.time).getTime());
  const order = times.map((time, index) => [time, index]).sort((one, other) => one[0] - other[0]);
  const drawn = new Array(entries.length);
  const gaps = [];
  let x = 0;
  order.forEach(([time, index], number) => {
    const idle = number ? time - order[number - 1][0] : 0;
    const width = Math.log2(1 + idle / UNIT_MS);
    if (idle > IDLE_MS) gaps.push([x + width / 2, idle]);
    x += width;
    drawn[index] = x;
  });
  const room = WIDTH - LEFT - 24;
  const to = (value) => LEFT + 8 + (x ? (value / x) * room : room / 2);
  return { xs: drawn.map(to), gaps: gaps.map(([value, ms]) => [to(value), ms]), times };
}

function laneNames(entries) {
  const own = Object.keys(LANES).filter((lane) => lane !== "bgp");
  const speakers = [...new Set(entries.filter((one) => one.stream).map((one) => one.stream))].sort();
  const shown = speakers.slice(0, LANES_MAX - own.length);
  return [...own.map((lane) => [lane, LANES[lane]]), ...shown.map((one) => [`bgp ${one}`, `BGP · ${one}`])];
}

export function lanes(entries, { chosen, at, pick, brush }) {
  const names = laneNames(entries);
  const row = (one) => Math.max(0, names.findIndex(([key]) => key === (one.stream ? `bgp ${one.stream}` : one.lane)));
  const { xs, gaps, times } = scale(entries);
  const bottom = TOP + names.length * LANE;
  const middle = (number) => TOP + number * LANE + LANE / 2;
  const byName = new Map(entries.map((one, index) => [nameOfEntry(one), index]));
  const causes = chainOf(entries, byName, chosen).map((index) => [xs[index], middle(row(entries[index]))]);
  const marks = entries.map((one, index) => {
    const name = nameOfEntry(one);
    const picked = name === chosen;
    const mark = s("rect", { class: `mark ${one.lane}${picked ? " chosen" : ""}`, x: xs[index] - 2, y: middle(row(one)) - 7, width: 4, height: 14, "data-event": name });
    mark.append(s("title", {}, `${clock(one.time)} ${one.stream ? name : `#${name}`} ${one.type} ${one.summary}`));
    return mark;
  });
  const drawing = s("svg", { class: "lanes", viewBox: `0 0 ${WIDTH} ${bottom + AXIS}`, role: "img", "aria-label": `${entries.length} events in ${names.length} lanes; the table below holds the same` },
    names.map(([, label], number) => [s("text", { x: 12, y: middle(number) + 4 }, cut(label)), s("line", { class: "rule", x1: LEFT, x2: WIDTH - 8, y1: middle(number), y2: middle(number) })]),
    gaps.slice(0, 60).map(([x]) => s("line", { class: "gap", x1: x, x2: x, y1: TOP, y2: bottom })),
    axis(entries, xs, gaps, bottom),
    at ? cursor(entries, xs, at, bottom) : "",
    marks,
    causes.length > 1 ? s("polyline", { class: "cause", points: causes.map((point) => point.join()).join(" ") }) : "");
  interact(drawing, { xs, times, bottom, pick, brush, row, entries, middle });
  return drawing;
}

const cut = (text) => (text.length > 21 ? `${text.slice(0, 20)}…` : text);

function chainOf(entries, byName, chosen) {
  const found = [];
  let index = byName.get(chosen);
  while (index !== undefined && found.length < 8) {
    found.push(index);
    const { cause, realises } = entries[index];
    index = cause || realises ? byName.get(String(cause || realises)) : undefined;
  }
  return found;
}

function cursor(entries, xs, at, bottom) {
  const before = entries.findLastIndex((one) => !one.stream && one.position <= at);
  if (before < 0) return "";
  return s("line", { class: "cursor", x1: xs[before], x2: xs[before], y1: TOP - 4, y2: bottom });
}

// Times where there is room for one; between them how long the idle stretches were.
function axis(entries, xs, gaps, bottom) {
  const texts = [];
  const taken = [];
  const put = (x, text, width) => {
    const from = Math.min(Math.max(x - width / 2, LEFT), WIDTH - width - 4);
    if (taken.some(([first, last]) => from < last + 8 && from + width + 8 > first)) return;
    taken.push([from, from + width]);
    texts.push(s("text", { x: from, y: bottom + 16 }, text));
  };
  if (entries.length) {
    const order = xs.map((x, index) => [x, index]).sort((one, other) => one[0] - other[0]);
    put(order[0][0], clock(entries[order[0][1]].time), 82);
    put(order.at(-1)[0], clock(entries[order.at(-1)[1]].time), 82);
    for (const [x, ms] of gaps) put(x, `${span(ms)} idle`, 62);
    for (const [x, index] of order) put(x, clock(entries[index].time), 82);
  }
  return texts;
}

function interact(drawing, { xs, times, bottom, pick, brush, row, entries, middle }) {
  const place = (event) => {
    const box = drawing.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * (bottom + AXIS)];
  };
  let begun;
  let shade;
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    begun = place(event);
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!begun) return;
    const [x] = place(event);
    if (!shade && Math.abs(x - begun[0]) < 5) return;
    shade ??= drawing.appendChild(s("rect", { class: "brush", y: TOP, height: bottom - TOP }));
    shade.setAttribute("x", Math.min(x, begun[0]));
    shade.setAttribute("width", Math.abs(x - begun[0]));
  });
  drawing.addEventListener("pointerup", (event) => {
    if (!begun) return;
    const [[from], [to, y]] = [begun, place(event)];
    begun = undefined;
    if (!shade) {
      const near = xs.map((x, index) => [Math.hypot(x - to, middle(row(entries[index])) - y), index]).sort((one, other) => one[0] - other[0])[0];
      if (near && near[0] < 16) pick(nameOfEntry(entries[near[1]]));
      return;
    }
    shade.remove();
    shade = undefined;
    const inside = times.filter((_, index) => xs[index] >= Math.min(from, to) && xs[index] <= Math.max(from, to));
    if (inside.length) brush(new Date(Math.min(...inside)).toISOString(), new Date(Math.max(...inside)).toISOString());
  });
}
