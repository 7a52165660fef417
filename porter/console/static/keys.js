// Shortcuts of single keys, listed in a dialog, where they can be turned off.

import { h, redraw } from "./dom.js";
import { go, here, to, visit } from "./place.js";
import { keep, kept } from "./settings.js";

export function shortcuts(dialog, button, pages, asof) {
  const rows = () => [...document.querySelectorAll("#region [data-row]")];
  const along = (by) => {
    const found = rows();
    const now = found.indexOf(document.activeElement);
    found[Math.min(Math.max(now < 0 ? (by > 0 ? 0 : found.length - 1) : now + by, 0), found.length - 1)]?.focus();
  };
  const close = () => ["service", "prefix", "event"].some((name) => here().values[name]) && go({ service: undefined, prefix: undefined, event: undefined });
  const keys = [
    ["1 to 6", "Pages, in their order"],
    ["/", "Search"],
    ["[ and ]", "One position back, one on"],
    ["l", "Live: the present"],
    ["y", "Copy a link to what is shown, at this position"],
    ["j and k", "Next row, row before; Enter opens it"],
    ["Esc", "Close what is open beside the rows"],
    ["?", "This list"],
  ];
  const actions = {
    "/": () => document.querySelector("#main input[type=search]")?.focus(),
    "[": () => asof.step(-1),
    "]": () => asof.step(1),
    l: () => asof.present(),
    y: () => asof.link(),
    j: () => along(1),
    k: () => along(-1),
    "?": () => dialog.showModal(),
    ...Object.fromEntries(pages.map(([path], number) => [String(number + 1), () => visit(to(path))])),
  };
  const on = h("input", { type: "checkbox", id: "keys-on", onchange: () => keep("keys", on.checked ? "on" : "off") });
  on.checked = kept("keys", "on") === "on";
  redraw(dialog,
    h("h2", { id: "keys-title" }, "Keyboard"),
    h("table", {}, h("tbody", {}, keys.map(([key, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, what))))),
    h("p", { class: "muted" }, "The slider moves by the arrow keys, by a tenth with Page Up and Page Down, and to either end with Home and End. Tab reaches everything."),
    h("p", {}, on, " ", h("label", { for: "keys-on" }, "Single keys do something")),
    h("form", { method: "dialog" }, h("button", {}, "Close")));
  button.addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.key === "Escape") close();
    if (!on.checked || event.target.closest("input:not([type=range]), select, textarea")) return;
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}
