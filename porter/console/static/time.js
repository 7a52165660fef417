// Times: RFC 3339 in UTC from the server; shown in the reader's zone or in UTC.

import { keep, kept } from "./settings.js";

let utc = kept("zone", "local") === "utc";

const two = (number) => String(number).padStart(2, "0");

function parts(date) {
  const take = (name) => (utc ? date[`getUTC${name}`]() : date[`get${name}`]());
  return {
    day: `${take("FullYear")}-${two(take("Month") + 1)}-${two(take("Date"))}`,
    clock: `${two(take("Hours"))}:${two(take("Minutes"))}:${two(take("Seconds"))}.${String(take("Milliseconds")).padStart(3, "0")}${utc ? "Z" : ""}`,
  };
}

export const whole = (text) => {
  if (!text) return "-";
  const { day, clock } = parts(new Date(text));
  return `${day} ${clock}`;
};
export const seconds = (text) => whole(text).replace(/\.\d{3}/, "");
export const clock = (text) => (text ? parts(new Date(text)).clock : "-");

export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

// A moment as a person writes it, as the server takes it; undefined where it is none. `now` is the history's end.
export function moment(text, now) {
  text = text.trim();
  if (/^#?\d+$/.test(text)) return text.replace("#", "");
  const ago = /^-(\d+)([smhd])$/.exec(text);
  if (ago) return new Date(new Date(now).getTime() - ago[1] * UNITS[ago[2]]).toISOString();
  const daytime = /^(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?Z?$/.exec(text);
  if (daytime) {
    const end = new Date(now);
    const at = new Date(now);
    const [hours, minutes, seconds, ms] = [daytime[1], daytime[2], daytime[3] ?? 0, (daytime[4] ?? "0").padEnd(3, "0")].map(Number);
    if (utc || text.endsWith("Z")) at.setUTCHours(hours, minutes, seconds, ms);
    else at.setHours(hours, minutes, seconds, ms);
    // The last time that it was that late.
    if (at > end) at.setDate(at.getDate() - 1);
    return at.toISOString();
  }
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

export function zoneButton(button, changed) {
  const name = () => (button.textContent = utc ? "Times: UTC" : "Times: local");
  name();
  button.addEventListener("click", () => {
    utc = !utc;
    keep("zone", utc ? "utc" : "local");
    name();
    changed();
  });
}
