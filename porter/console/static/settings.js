// What a reader chose for this browser: theme, zone of times, shortcuts. Storage may be forbidden; then nothing is kept.

export function kept(name, fallback) {
  try {
    return localStorage.getItem(`porter.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`porter.${name}`, value);
  } catch {
    // It holds until the page is left.
  }
}

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme(button, theme) {
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  button.textContent = `Theme: ${theme}`;
}

export function themeButton(button) {
  let theme = kept("theme", "auto");
  applyTheme(button, theme);
  dark.addEventListener("change", () => applyTheme(button, theme));
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("theme", theme);
    applyTheme(button, theme);
  });
}
