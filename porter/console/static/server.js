// Questions to the server, and its news.

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export function query(values) {
  const wanted = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(wanted).toString();
  return text ? `?${text}` : "";
}

// The position that a moment of the address is; undefined for the present.
export async function positionOf(at, signal) {
  if (at === undefined || /^\d+$/.test(at)) return at === undefined ? undefined : Number(at);
  return (await ask("moment", { at }, signal)).position;
}

export async function ask(name, values = {}, signal = undefined) {
  let answer;
  try {
    answer = await fetch(`/api/${name}${query(values)}`, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The console does not answer. Is `porter console` still running?", 0);
  }
  let body = {};
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(`The console answers ${answer.status}, and not in its own words.`, answer.status);
  }
  if (!answer.ok) throw new Refused(body.message ?? `The console answers ${answer.status}.`, answer.status);
  return body;
}

// Calls `told` with the newest head, and `lost` when the connection breaks; the browser connects again by itself.
export function listen(told, lost) {
  const source = new EventSource("/api/live");
  source.addEventListener("head", (event) => told(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lost();
    // Refused (too many pages): the browser gives up, and so it is tried again later.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(told, lost), 5000);
  });
}
