// Elements from values. Text is only ever text: nothing here makes markup out of a string.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "key") element.dataset.key = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

// h("a", {href: "/rib", class: "mono"}, "text", other)
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

// Replace what a region holds; the element in focus, and how far it was scrolled, stay as they were.
export function redraw(region, ...children) {
  const focused = region.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : undefined;
  const kept = new Map([...region.querySelectorAll("[data-scroll]")].map((one) => [one.dataset.scroll, [one.scrollLeft, one.scrollTop]]));
  region.replaceChildren(...children.flat(Infinity).filter(Boolean));
  for (const one of region.querySelectorAll("[data-scroll]")) {
    const [left, top] = kept.get(one.dataset.scroll) ?? [0, 0];
    one.scrollTo(left, top);
  }
  if (focused !== undefined) {
    [...region.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus({ preventScroll: true });
  }
}

// A table: columns are [heading, class], rows are {cells, key, chosen, pick}.
export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const line = (row) =>
    h("tr", { class: [row.pick && "pick", row.chosen && "chosen"].filter(Boolean).join(" ") || undefined, onclick: row.pick && ((event) => !event.target.closest("a, button") && row.pick()) },
      row.cells.map((cell, number) => h("td", { class: columns[number][1] }, cell)));
  return h("div", { class: "scroll", "data-scroll": caption },
    h("table", {}, h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([heading, kind]) => h("th", { scope: "col", class: kind?.replace("cut mono", "") || undefined }, heading || h("span", { class: "unseen" }, "Change"))))),
      h("tbody", {}, rows.map(line))));
}

export const tag = (kind, text) => h("span", { class: `tag ${kind}` }, text);
export const mono = (text) => h("span", { class: "mono" }, text);

export function announce(text) {
  document.getElementById("announce").textContent = text;
}

export function problem(message, ...actions) {
  return h("div", { class: "problem", role: "alert" }, h("div", {}, message), actions);
}
