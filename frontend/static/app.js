// Adds to pages that work without it: theme switch, keys, copying, announcing.

const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

const kept = {
  read(name) {
    try {
      return localStorage.getItem(`neuronym-${name}`);
    } catch {
      return null;
    }
  },
  write(name, value) {
    try {
      value === null ? localStorage.removeItem(`neuronym-${name}`) : localStorage.setItem(`neuronym-${name}`, value);
    } catch {
      /* no storage */
    }
  },
};

// Theme: system, light, dark, in turn.
const themes = ["system", "light", "dark"];
const themeSwitch = one("[data-theme-switch]");
const showTheme = () => {
  const theme = root.dataset.theme ?? "system";
  themeSwitch.querySelector(".theme-name").textContent = theme[0].toUpperCase() + theme.slice(1);
};
themeSwitch.hidden = false;
showTheme();
themeSwitch.addEventListener("click", () => {
  const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  kept.write("theme", next === "system" ? null : next);
  showTheme();
});

// Buttons that need a script are hidden until there is one.
for (const button of all("[data-copy], [data-keys-open]")) button.hidden = false;
document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (!copy) return;
  await navigator.clipboard.writeText(location.href);
  announce("Link copied");
  const text = copy.textContent;
  copy.textContent = "Copied";
  setTimeout(() => {
    copy.textContent = text;
  }, 1500);
});

// One live region for the page: the sentence of a new result, said once.
const announcer = one("#announcer");
function announce(text) {
  announcer.textContent = text.replace(/\s+/g, " ").trim();
}
document.addEventListener("htmx:after:swap", () => {
  const news = one("[data-announce]:not([data-said])");
  if (!news) return;
  news.dataset.said = "";
  announce(news.textContent);
});

// While a stream runs every message asks for the same address: writing it once is enough.
document.addEventListener("htmx:before:history:update", (event) => {
  if (event.detail.history.path === location.pathname + location.search) event.preventDefault();
});

// Keys. Single letters can be switched off in the list of keys.
const dialog = one("#keys");
const keysOn = one("[data-keys-on]");
keysOn.checked = kept.read("keys") !== "off";
keysOn.addEventListener("change", () => kept.write("keys", keysOn.checked ? null : "off"));
one("[data-keys-open]").addEventListener("click", () => dialog.showModal());

const follow = (selector) => one(selector)?.click();
function jump(step) {
  const stops = all("[data-jump]");
  const here = stops.indexOf(document.activeElement);
  const next = stops[here < 0 && step < 0 ? stops.length - 1 : Math.min(Math.max(here + step, 0), stops.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
const keys = {
  "/": () => {
    const box = all("[data-search]").find((input) => input.offsetParent);
    box?.focus();
    box?.select();
  },
  "j": () => jump(1),
  "k": () => jump(-1),
  "[": () => follow('a[rel="prev"]'),
  "]": () => follow('a[rel="next"]'),
  "c": () => follow("[data-clamp]"),
  "?": () => dialog.showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (moveInText(event)) return;
  if (!keysOn.checked && event.key !== "?") return;
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// Generated tokens: one stop for the Tab key, arrows move between tokens.
function moveInText(event) {
  const token = event.target.closest?.(".g");
  const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
  if (!token || !step) return false;
  let next = token[step];
  while (next && !next.matches(".g")) next = next[step];
  if (next) {
    token.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  event.preventDefault();
  return true;
}
