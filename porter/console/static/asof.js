// The bar that says which moment is shown, and changes it: the slider, a field for a position or a time, and Live.

import { announce, h, mono, redraw } from "./dom.js";
import { address, go, here } from "./place.js";
import { ask } from "./server.js";
import { moment, whole } from "./time.js";

const SETTLE_MS = 180;

export class AsOf {
  constructor(root, live) {
    this.live = live;
    this.bounds = { first: 1, last: 1, lastTime: "" };
    this.shown = undefined;
    this.button = h("button", { type: "button", class: "live", onclick: () => this.present(), title: live ? "Show the present, and follow it (l)" : "Show the end of the file (l)" }, live ? "Live" : "End");
    this.slider = h("input", { type: "range", id: "slider", "aria-label": "Position of the journal", min: 1, max: 1, step: 1, oninput: () => this.slide() });
    this.field = h("input", { type: "text", id: "moment", "aria-label": "Go to a position or a time", placeholder: "position or time", title: "A position like 41877, a time like 14:02:11 or 2026-11-25 14:02, or how long ago, like -15m", autocomplete: "off", spellcheck: "false" });
    this.output = h("output", { for: "slider moment" });
    this.copy = h("button", { type: "button", onclick: () => this.link(), title: "Copy a link to what is shown, at this position (y)" }, "Copy link");
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); this.jump(); } }, this.field);
    const step = (by, label, key) => h("button", { type: "button", "aria-label": label, title: `${label} (${key})`, onclick: () => this.step(by) }, by < 0 ? "‹" : "›");
    redraw(root, this.button, step(-1, "One position back", "["), this.slider, step(1, "One position on", "]"), this.output, form, this.copy);
  }

  // The position that is shown: of the address, or, where that names a time, of the last answer.
  get position() {
    const at = Number(here().values.at);
    return Number.isInteger(at) && at > 0 ? at : this.shown ?? this.bounds.last;
  }

  get pinned() {
    return here().values.at !== undefined;
  }

  head(told) {
    if (told.position) {
      this.bounds.last = told.position;
      this.bounds.lastTime = told.time;
    }
    this.draw();
  }

  async load() {
    const at = here().values.at;
    this.draw();
    this.asked?.abort();
    this.asked = new AbortController();
    try {
      const told = await ask("moment", { at }, this.asked.signal);
      this.bounds = told;
      this.shown = told.position;
      this.time = told.time;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.time = "";
      // The moment lies outside of what is kept; the slider still shows what that is.
      if (at !== undefined) this.bounds = await ask("moment", {}, this.asked.signal).catch(() => this.bounds);
    }
    this.draw();
  }

  draw() {
    const position = this.pinned ? this.position : this.bounds.last;
    this.slider.min = this.bounds.first;
    this.slider.max = this.bounds.last;
    this.slider.value = position;
    this.button.setAttribute("aria-pressed", String(!this.pinned));
    document.body.classList.toggle("past", this.pinned);
    this.label(position, this.pinned ? this.time : this.bounds.lastTime);
  }

  label(position, time) {
    const text = position ? `#${position}` : "#-";
    this.slider.setAttribute("aria-valuetext", time ? `${text}, ${whole(time)}` : text);
    redraw(this.output, mono(`${text} of #${this.bounds.last}`), " ", h("span", { class: "muted" }, time ? whole(time) : ""));
  }

  slide() {
    const position = Number(this.slider.value);
    this.label(position, "");
    clearTimeout(this.settling);
    this.settling = setTimeout(() => go({ at: position }, { replace: this.pinned }), SETTLE_MS);
  }

  step(by) {
    const from = this.pinned ? this.position : this.bounds.last;
    const position = Math.min(Math.max(from + by, this.bounds.first), this.bounds.last);
    go({ at: position }, { replace: this.pinned });
  }

  present() {
    go({ at: undefined });
  }

  jump() {
    const at = moment(this.field.value, this.live ? new Date().toISOString() : this.bounds.lastTime);
    this.field.setCustomValidity(at ? "" : "Write a position like 41877, a time like 14:02:11, or how long ago, like -15m");
    if (!this.field.reportValidity()) return;
    this.field.value = "";
    go({ at });
  }

  async link() {
    const { path, values } = here();
    const link = new URL(address(path, { ...values, at: this.position }), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      announce(`The link to #${this.position} is copied`);
      this.copy.textContent = "Copied";
    } catch {
      this.field.value = link;
      this.field.select();
      this.copy.textContent = "Copy it here";
    }
    setTimeout(() => (this.copy.textContent = "Copy link"), 2000);
  }
}
