// Where the reader is: the address holds the page, the moment and what is chosen, so that a link shows the same again.

let listener = () => {};

export const onmove = (callback) => (listener = callback);

export const here = () => {
  const { pathname, searchParams } = new URL(location.href);
  return { path: pathname, values: Object.fromEntries(searchParams) };
};

export function address(path, values) {
  const wanted = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(wanted).toString();
  return text ? `${path}?${text}` : path;
}

// A page's address at the moment that is looked at.
export const to = (path, values = {}) => address(path, { at: here().values.at, ...values });

// Change some values of the address; undefined and "" drop one.
export function go(changes, { replace = false } = {}) {
  const { path, values } = here();
  visit(address(path, { ...values, ...changes }), { replace });
}

export function visit(target, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", target);
  listener();
}

addEventListener("popstate", () => listener());
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  visit(link.getAttribute("href"));
});
